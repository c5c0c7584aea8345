-- Remove finished reports from the set, and put back those to be tried again. Columns: the score
-- with which the job was read, and `again`, the time of the next try, or ''.
--! keys reports
--! args now
--! rows results(job_id score again)
for _, job_id, score, again in results() do
    local stored = redis.call('ZSCORE', reports, job_id)
    if not stored then
        -- Another process treated this one as dead and reported, too. It is not known which report
        -- arrived last, so one more is sent.
        redis.call('ZADD', reports, now, job_id)
    elseif tonumber(stored) == tonumber(score) then
        -- Another score means further news, which stays.
        if again == '' then
            redis.call('ZREM', reports, job_id)
        else
            redis.call('ZADD', reports, again, job_id)
        end
    end
end
return 1
