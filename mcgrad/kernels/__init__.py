"""From a problem and its estimators to the text of one kernel. `program` is the way in."""
