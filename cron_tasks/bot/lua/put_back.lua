-- Put the messages of dead readers of a list back to its front, and give the caller's sign of life.
-- A reader is alive while its lease, `alive_prefix` followed by its name, is in Redis. If the
-- caller's own messages go back too, `own_token` is the token of its lease, otherwise ''.
--! given queue readers
--! args reader own_token alive_prefix processing_prefix now forget_after
redis.call('ZADD', readers, now, reader)
for _, name in ipairs(redis.call('ZRANGE', readers, 0, -1)) do
    local token = redis.call('GET', alive_prefix .. name)
    if not token or token == own_token then
        -- From right to left, so that the messages keep their order.
        while redis.call('LMOVE', processing_prefix .. name, queue, 'RIGHT', 'LEFT') do end
    end
    -- A frozen reader may still read one message, so its name is kept for a while.
    local last_seen = tonumber(redis.call('ZSCORE', readers, name))
    if not token and last_seen < now - forget_after then redis.call('ZREM', readers, name) end
end
return 1
