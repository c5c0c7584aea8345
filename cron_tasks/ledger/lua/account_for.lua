-- Account for a run that ended. An ok run has a `day`, and `tally` is added to the count of that
-- day. For any other run `tally` is its short record. `days` collects the days.
--! prefixes account count
--! args now account_ttl
--! uses store/account store/add_to_number
local function account_for(job_id, fire_time, day, tally, days)
    if day ~= '' then
        add_to_number(count_prefix .. day, job_id, tally)
        days[day] = true
    else
        account(account_prefix .. job_id, fire_time, tally, account_ttl, now)
    end
end
