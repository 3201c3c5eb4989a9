"""What to try next: advice.py asks the rules, which are in the other files."""
