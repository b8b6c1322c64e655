"""The parts of the dashboard's page: body, style, scripts. `generator/monitor/server/page.py`
puts them together.
"""
