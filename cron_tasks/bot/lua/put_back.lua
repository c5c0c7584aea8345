-- Put what dead readers of a list hold back to its front, and note that the caller is alive.
-- A reader is alive while its lease, `alive_prefix` followed by its name, is in Redis. `own_token`
-- is the token of the caller's lease where its own messages go back, too, else ''.
--! given queue readers
--! args reader own_token alive_prefix processing_prefix now forget_after
redis.call('ZADD', readers, now, reader)
for _, name in ipairs(redis.call('ZRANGE', readers, 0, -1)) do
    local token = redis.call('GET', alive_prefix .. name)
    if not token or token == own_token then
        -- From the right to the left, so that the messages keep their order.
        while redis.call('LMOVE', processing_prefix .. name, queue, 'RIGHT', 'LEFT') do end
    end
    -- A reader that was frozen may still read one message, so its name is kept for a while.
    local last_seen = tonumber(redis.call('ZSCORE', readers, name))
    if not token and last_seen < now - forget_after then redis.call('ZREM', readers, name) end
end
return 1
