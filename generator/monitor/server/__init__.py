"""The HTTP server of a run: dashboard, status, metrics, and the controls of a daemon.

    GET  /            the dashboard, one page without external parts
    GET  /status      RunStatus as JSON          GET /history   rates and limits of the last half hour
    GET  /traces      the latest traces          GET /metrics   Prometheus
    GET  /healthz     200 while the event loop lives             GET /readyz  200 while work is taken
    POST /pause /resume /drain /reload /lanes/NAME/pause /lanes/NAME/resume      with `Authorization: Bearer TOKEN`

It reads one `RunStatus` and never touches the run but through `Controls`.
"""

from generator.monitor.server.access import Access
from generator.monitor.server.app import Controls, dashboard_server

__all__ = ["Access", "Controls", "dashboard_server"]
