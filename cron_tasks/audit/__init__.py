"""Compare the ticks that were due with the records of the ledger.

account_reader  reads the account of each job from Redis
job_account     holds an account, and returns how a tick ended
tally           counts how the ticks of a job ended (`cron-tasks audit`)
day_check       names the ticks of a day that were lost or ran twice
explain         explains what happened to one tick (`cron-tasks why`)
backfill        finds the ticks that did not run, and opens them (`cron-tasks backfill`)
"""
