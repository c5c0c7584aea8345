-- Put jobs into the index without a fingerprint, so that the next sync reads the list, and writes or
-- removes them.
--! keys jobs
--! rows unlisted(job_id)
--! uses registry/add_doubt
for _, job_id in unlisted() do redis.call('HSETNX', jobs, job_id, '') end
add_doubt()
return 1
