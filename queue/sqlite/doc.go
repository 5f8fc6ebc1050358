// Package sqlite keeps the messages of a signpost dispatcher in one SQLite file, so that a service on one machine loses
// no webhook when it is killed, when the disk is full or when the power goes. The same file is the delivery log: what
// was delivered, what failed and why, and what to send again.
//
//	queue, err := sqlite.Open(ctx, "/var/lib/shop/webhooks.db")
//	…
//	defer queue.Close()
//	dispatcher, err := signpost.New(signpost.WithQueue(queue), signpost.WithSecret("whsec_…"))
//
// It is written in Go throughout and needs no C compiler: SQLite is modernc.org/sqlite.
//
// # The promise
//
// Once [signpost.Dispatcher.Send] has returned nil the message is on disk. From then on it is in the file, pending, until
// it is delivered or dead, and that is on disk too before the dispatcher goes on. After a crash it comes back. What is lost
// then is at most that an attempt was made: so a receiver may get a message twice, as always with signpost, under the same
// webhook-id. A Send that returned an error, or nothing because the process died, may have put its message into the file
// all the same; call Enqueue again with the same ID: it is taken in once, as long as the log has it.
//
// One goroutine writes. It makes the changes of all callers who wait in one transaction, and waits for the disk (fsync)
// once for all of them: the more callers, the more messages a second. A lone caller doesn't wait for others.
//
// Every message that is read from the file is checked against a checksum. One that doesn't match is never sent: it is put
// aside as [Damaged], and logged. [Queue.Check] looks for more.
//
// When the disk is full Send returns [ErrFull], and so do outcomes, which the dispatcher tries to record again; it goes on
// by itself once there is room.
//
// # What it needs
//
// The file must be on a local disk: locks on network file systems can't be trusted, and SQLite's log in shared memory needs
// one machine. One process has the queue open, with one dispatcher or more; any other one gets [ErrLocked], and may read
// the log with [OpenLog]. While it is open there are path-wal and path-shm beside it, which are as much a part of it as the
// file itself; never delete or move one without the others. After a crash they hold what isn't in path yet. The file
// path.lock says who has the queue open, and stays behind; it must not be deleted while somebody has.
//
// # The log
//
// [Queue.Messages] lists messages by state, ID, host and time, with every attempt's time, duration, status, error and the
// response's first bytes; [Queue.Counts] counts them. [Queue.Redeliver] sends some again by ID, [Queue.RedeliverAll] by
// filter: all that died at one host since Friday, say. Delivered and dead messages stay until [Queue.Prune] deletes them,
// or [WithRetention] does so regularly. A pruned ID is unknown: enqueued again, it is a new message.
//
// The log has what was sent, payloads, headers and URLs with their query strings, and may so have personal data and
// whatever secrets users put there; the file is readable by its owner only. Signing secrets are never in it. Errors are
// redacted of query strings.
//
// # Reading it with sqlite3
//
// The file may be read with SQLite's command-line tool at any time, beside the running service. The view deliveries is made
// for people:
//
//	sqlite3 -readonly -box webhooks.db "SELECT * FROM deliveries WHERE state = 'dead' ORDER BY changed DESC LIMIT 20"
//
// It has a row for each message:
//
//	number       in the order in which messages were accepted
//	id           webhook-id
//	state        pending, delivered, dead or damaged
//	host         name and port, "hooks.example:443"
//	url          where it goes
//	attempts     made since it was accepted, or sent again
//	accepted     when it was put into the file, as "2006-01-02 15:04:05.000Z"
//	changed      when it came into its state
//	due          when it is tried again at the earliest, while it is pending
//	last_status  of the last attempt; NULL: no response
//	last_error   of the last attempt; NULL: there was a response
//	reason       why it is dead or damaged
//
// The tables behind it have times in milliseconds since 1970, in columns that end in _at. Table messages:
//
//	number          as in the view, as are id, state, reason, host, url and attempts
//	endpoint        the URL without its query, and with its port
//	due_at          no attempt before, while it is pending
//	changed_at      when it came into its state; while it is pending, when it was accepted or sent again
//	created_at      the message's own time, from which its age counts
//	accepted_at     when it was put into the file
//	redelivered_at  when it was last sent again, from which its age counts then; NULL: never
//	checksum        CRC-32C of id, url, header, created_at and payload
//	header          the message's own headers, a line "Name: value" for each value
//	payload         the JSON document, a BLOB: CAST(payload AS TEXT) shows it
//
// Table attempts:
//
//	message      messages.number
//	nth          of all of the message's attempts, from 1
//	number       of those since it was accepted, or sent again
//	started_at   when it began
//	duration_us  microseconds until the response was read, or the attempt given up
//	status       of the response; NULL: there was none
//	error        why there was none, or why it was cut off
//	response     its first bytes, a BLOB
//
// Table clock has one row, the latest time that the queue has seen; [Open] goes on from there if the machine's clock was set
// back. What a message has been through:
//
//	sqlite3 -readonly webhooks.db "SELECT nth, datetime(started_at / 1000, 'unixepoch'), duration_us / 1000 AS ms, status, error, CAST(response AS TEXT) FROM attempts WHERE message = (SELECT number FROM messages WHERE id = 'msg_1') ORDER BY nth"
//
// Who fails most, of what ended since yesterday:
//
//	sqlite3 -readonly webhooks.db "SELECT host, count(*) AS dead, max(reason) FROM messages WHERE state = 'dead' AND state <> 'pending' AND changed_at > (unixepoch() - 86400) * 1000 GROUP BY host ORDER BY dead DESC"
//
// What waits, and how long it has been due, by endpoint:
//
//	sqlite3 -readonly webhooks.db "SELECT endpoint, count(*) AS waiting, (unixepoch() - min(due_at) / 1000) AS seconds FROM messages WHERE state = 'pending' GROUP BY endpoint ORDER BY seconds DESC LIMIT 20"
//
// In a large file say state <> 'pending' beside any other state, as here: SQLite doesn't use the index of messages that have
// ended otherwise. Don't change messages that are pending, or turn others into pending ones: the running queue has its own picture of those, and
// sees the change only after the next Open. Damaged messages that nobody will look at any more are deleted by hand:
//
//	sqlite3 webhooks.db "DELETE FROM attempts WHERE message IN (SELECT number FROM messages WHERE state = 'damaged' AND state <> 'pending'); DELETE FROM messages WHERE state = 'damaged' AND state <> 'pending'"
//
// # Backups
//
// Copy the file with SQLite while the queue is open, never with cp, which takes some pages from before a change and some from after it:
//
//	sqlite3 -readonly webhooks.db "VACUUM INTO '/backup/webhooks.db'"
//
// sqlite3's .backup does the same, but begins again whenever something is written. A restored backup sends again what was pending
// when it was made.
//
// # Sizes
//
// A message of 1 KiB for a short URL takes some 1.5 KB, its attempt some 30 bytes more, beside the response's first bytes and the
// error. SQLite's pages are 4 KiB: what is larger than one takes whole pages. Memory grows with the number of endpoints
// that have messages waiting, and by some 20 bytes for each message that waits for a retry; not with that of other messages. What Prune deletes leaves free pages, which new messages use; if many
// are left, Prune gives them back to the file system.
//
// # What it does not do
//
// It doesn't share a queue between processes or machines: that takes a broker, as other queues of signpost use. It keeps no order
// between messages, beyond that what has been due longest at an endpoint comes first, or after an outage what was accepted first. It
// encrypts nothing.
package sqlite
