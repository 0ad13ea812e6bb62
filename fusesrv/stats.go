package fusesrv

import "sync/atomic"

// Stats counts what a Server did since it was mounted.
type Stats struct {
	// Requests is every message read from the device, READs and messages
	// that need no reply included.
	Requests uint64 `json:"requests"`
	// Reads is the number of READs.
	Reads uint64 `json:"reads"`
	// ReadBytes is what the replies to READs carried, in bytes.
	ReadBytes uint64 `json:"read_bytes"`
	// Copied is how many of those bytes went through the server's memory.
	Copied uint64 `json:"copied"`
	// Spliced is how many of those bytes went through pipes by reference;
	// whether the kernel then copied or moved them, it does not say.
	Spliced uint64 `json:"spliced"`
	// Ringed is how many READs came by io_uring(7), not by the device.
	Ringed uint64 `json:"ringed"`
	// Filled is how many of those bytes the kernel put in place, for rsplice(2)
	// or into a registered buffer of io_uring(7).
	Filled uint64 `json:"filled"`
	// Fallbacks is how many READs were answered by copying because the path
	// was not fit for them: the kernel said so, or a file opened with O_DIRECT
	// does not allow it.
	Fallbacks uint64 `json:"fallbacks"`
	// Calls is the number of system calls made for READs, those that fetched
	// them from the device included.
	Calls uint64 `json:"calls"`
	// Passed is how many opened files were given to the kernel to read by
	// itself. Files that are open several times count once.
	Passed uint64 `json:"passed"`
	// Written is how many bytes of WRITEs went to their files by splice(2).
	Written uint64 `json:"written"`
	// Failed is the number of READs answered with an error number.
	Failed uint64 `json:"failed"`
	// Refused is the number of replies that the kernel did not take, though
	// the request was still there. More than 0 is a fault of the server.
	Refused uint64 `json:"refused"`
}

// counters is Stats while the workers run.
type counters struct {
	requests, reads, ringed, readBytes, copied, spliced, filled, fallbacks, calls, passed, written, failed, refused atomic.Uint64
}

// Stats returns the counters as they are now. A READ is counted before its
// reader can see the answer.
func (s *Server) Stats() Stats {
	c := &s.count
	return Stats{
		Requests:  c.requests.Load(),
		Reads:     c.reads.Load(),
		Ringed:    c.ringed.Load(),
		ReadBytes: c.readBytes.Load(),
		Copied:    c.copied.Load(),
		Spliced:   c.spliced.Load(),
		Filled:    c.filled.Load(),
		Fallbacks: c.fallbacks.Load(),
		Calls:     c.calls.Load(),
		Passed:    c.passed.Load(),
		Written:   c.written.Load(),
		Failed:    c.failed.Load(),
		Refused:   c.refused.Load(),
	}
}
