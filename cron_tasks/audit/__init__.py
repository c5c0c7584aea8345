"""Compare the ticks that were due with what the ledger recorded.

account_reader  reads from Redis what is known of each job
job_account     holds that, and answers how a tick ended
tally           counts how the ticks of a job ended (`cron-tasks audit`)
day_check       names the ticks of a day that were lost or ran twice
explain         explains what happened to one tick (`cron-tasks why`)
backfill        finds the ticks that did not run, and opens them (`cron-tasks backfill`)
"""
