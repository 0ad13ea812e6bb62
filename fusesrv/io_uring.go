package fusesrv

// ioUringPath is copy with requests and answers by io_uring(7): the bytes are
// brought with pread into memory that the kernel knows, and are copied from
// there when the answer is committed, by the call that fetches the next request.
func ioUringPath() Path {
	return Path{Name: "io_uring", ring: &ringKind{}, initFlags: overRing, open: openRingCopier}
}

// openRingCopier has a copier bring bytes to where the kernel takes them from.
func openRingCopier(c conn, maxRead int) (answerer, error) {
	return &copier{data: c.(*ringConn).payload[:maxRead+2*directUnit]}, nil
}
