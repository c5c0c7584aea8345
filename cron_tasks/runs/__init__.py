"""The outcomes of runs, their notifications, and what people ask and do about them."""
