-- least reader: 10
-- Keys in the order of their last fetches, and when an instance was fetched from last, without looking at all of them.
CREATE INDEX fetch_by_time ON "fetch" (instance, at);

DROP INDEX fetch_by_instance;
