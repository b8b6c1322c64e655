"""Generators that the tests start have their libraries from one server."""

from tests.preloaded_programs import preload

preload(
    "generator.pipeline",
    "generator.plan",
    "generator.importer",
    "generator.export.command",
    "generator.report",
    "generator.corpus.check",
    "generator.monitor.server.app",
    "generator.rehearsal.command",
    "generator.rehearsal.server",
    "generator.signals",
    "uvloop",
)
