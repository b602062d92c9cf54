"""Review: how good, how steady and how well covered a shot is, in numbers and in pictures."""
