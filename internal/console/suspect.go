package console

import "bytes"

// openers are literals of which every opener holds one: few and rare, so that
// most of a log is never taken apart.
const openers = "BUG|WARNING: |INFO: |nable to handle|general protection|Kernel panic|PANIC: |" +
	"Internal error: |Unhandled fault: |Alignment trap: |[#|UBSAN: |suspected memory leak|hard LOCKUP|Hard LOCKUP|" +
	"rcu_tasks|unregister_netdevice: waiting|usercopy: Kernel|Busy inodes|panicked at |Insufficient stack|" +
	"CFI failure |trusty: panic|pagealloc: |VFS: Close: |Linux version |Booting the kernel.|Oops|SYZF"

// suspects finds the next place of a log that holds one of the openers.
type suspects struct {
	log   []byte
	words [][]byte
	at    []int // the next place of each word
}

func newSuspects(log []byte) *suspects {
	s := &suspects{log: log, words: bytes.Split([]byte(openers), []byte("|"))}
	s.at = make([]int, len(s.words))
	for i := range s.at {
		s.at[i] = -1
	}
	return s
}

// next returns the first place at or after from, len(log) when there is none.
// A word is searched for once over the whole log, however often next is called.
func (s *suspects) next(from int) int {
	first := len(s.log)
	for i, word := range s.words {
		if s.at[i] < from {
			s.at[i] = len(s.log)
			if n := bytes.Index(s.log[from:], word); n >= 0 {
				s.at[i] = from + n
			}
		}
		first = min(first, s.at[i])
	}
	return first
}
