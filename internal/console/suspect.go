package console

import "sync"

// suspects are literals of which every opener holds one: few and rare, so
// that most lines of a log cost little.
var suspects = sync.OnceValue(func() [][]byte {
	words := []string{
		"BUG", "WARNING: ", "INFO: ", "Unable to handle", "unable to handle", "general protection", "Kernel panic", "PANIC: ",
		"Internal error: ", "Unhandled fault: ", "Alignment trap: ", " [#", "UBSAN: ", "suspected memory leak", "hard LOCKUP", "Hard LOCKUP",
		"rcu_tasks", "unregister_netdevice: waiting", "usercopy: Kernel", "Busy inodes", "panicked at ", "Insufficient stack", "Linux version ",
		"lock order detected", "Nested lock was not", "Oops", "SYZF",
	}
	all := make([][]byte, len(words))
	for i, w := range words {
		all[i] = []byte(w)
	}
	return all
})
