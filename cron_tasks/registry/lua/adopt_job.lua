-- Convert the skips of one job from the shape of the previous version.
--! args key job_id
--! uses registry/adopt_skips
adopt_skips(job_id, key)
return 1
