-- Turn the skips of one job that the version before stored into those of this version.
--! args key job_id
--! uses registry/adopt_skips
adopt_skips(job_id, key)
return 1
