"""What a verdict does not say: flags on kept traces, golds that their own samples speak against."""
