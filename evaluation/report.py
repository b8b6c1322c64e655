"""The report (stub)."""
def write_report(path, manifest, comparison, results): path.write_text("x")
