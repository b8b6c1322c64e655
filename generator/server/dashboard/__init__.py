"""The parts of the dashboard's page: body, style, scripts. `generator/server/page.py` puts them together."""
