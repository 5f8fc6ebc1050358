package faults

// disks are faults of the disk and of the file system on it.
var disks = []fault{
	{"a full disk",
		"`Send` returns `ErrFull`. What was accepted goes on being delivered, without being sent twice; outcomes are kept in memory until " +
			"they can be written. When there is space again everything goes on by itself.", diskFull("4m", 8<<10)},
	{"a disk that is full when path-wal is brought back", "The same.", diskFull("24m", 64<<10)},
	{"a disk that is full at Open", "Open returns `ErrFull`, and works once there is space.", diskFullAtOpen},
	{"a file that must not grow (RLIMIT_FSIZE)",
		"`Send` returns SQLite's I/O error, and the rest is as with a full disk. (A Go program must ignore SIGXFSZ to live to see it.)",
		fileLimit},
	{"a read-only file", "Open returns `ErrReadOnly`, which names it.", readOnlyFile},
	{"a read-only folder", "The same.", readOnlyFolder},
	{"a read-only file system", "The same.", readOnlyFileSystem},
	{"fsync takes long",
		"All that wait share one: many producers are as fast as one. A lone `Send` takes one. Its context is honoured, what is accepted goes " +
			"out meanwhile, and Shutdown and Close wait for what is being written alone.", slowSync},
	{"fsync fails now and then",
		"`Send` returns an error, and it is unknown whether the message is in the file. The next one works again, and what was accepted is " +
			"there after a kill.", failingCalls(syncs + ":error=EIO:when=5+23")},
	{"fsync fails for a while", "The same, without opening the file again.", failingCalls(syncs + ":error=EIO:when=10..40")},
	{"writing fails now and then", "The same.", failingCalls("pwrite64:error=EIO:when=40+31")},
}
