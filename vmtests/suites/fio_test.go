package suites

import (
	"fmt"
	"maps"
	"slices"
	"testing"
)

// How much jobs write, in MiB.
const fioLarge, fioSmall = 16, 4

// fioArgs are the arguments for a job: what is written carries a header and
// a checksum in each block, and names its place.
func fioArgs(dir string, job fioJob) []string {
	common := []string{
		"--directory=" + dir, "--name=job", "--filename_format=$jobname.$jobnum", fmt.Sprintf("--size=%dm", job.mib), "--group_reporting",
		"--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--randseed=20190626", "--fallocate=none",
		"--thread", "--output-format=terse",
	}
	return append(common, job.args...)
}

// A fioJob writes mib MiB in all, and is one process unless args say otherwise.
type fioJob struct {
	mib  uint64
	args []string
}

// fioJobs are the jobs, by name: how the file is written, and verified.
func fioJobs() map[string]fioJob {
	return map[string]fioJob{
		"psync-seq-128k":         {fioLarge, []string{"--ioengine=psync", "--rw=write", "--bs=128k"}},
		"psync-seq-1m":           {fioLarge, []string{"--ioengine=psync", "--rw=write", "--bs=1m"}},
		"psync-rand-4k":          {fioSmall, []string{"--ioengine=psync", "--rw=randwrite", "--bs=4k"}},
		"psync-seq-1k-to-64k":    {fioLarge, []string{"--ioengine=psync", "--rw=write", "--bsrange=1k-64k"}},
		"psync-rand-4k-direct":   {fioSmall, []string{"--ioengine=psync", "--rw=randwrite", "--bs=4k", "--direct=1"}},
		"psync-seq-1m-direct":    {fioLarge, []string{"--ioengine=psync", "--rw=write", "--bs=1m", "--direct=1"}},
		"mmap-seq-64k":           {fioLarge, []string{"--ioengine=mmap", "--rw=write", "--bs=64k"}},
		"mmap-rand-4k":           {fioSmall, []string{"--ioengine=mmap", "--rw=randwrite", "--bs=4k"}},
		"splice-seq-64k":         {fioLarge, []string{"--ioengine=splice", "--rw=write", "--bs=64k"}},
		"splice-rand-4k":         {fioSmall, []string{"--ioengine=splice", "--rw=randwrite", "--bs=4k"}},
		"libaio-rand-16k":        {fioLarge, []string{"--ioengine=libaio", "--iodepth=8", "--rw=randwrite", "--bs=16k"}},
		"libaio-rand-16k-direct": {fioLarge, []string{"--ioengine=libaio", "--iodepth=8", "--rw=randwrite", "--bs=16k", "--direct=1"}},
		"io_uring-rand-16k":      {fioLarge, []string{"--ioengine=io_uring", "--iodepth=8", "--rw=randwrite", "--bs=16k"}},
		"4-jobs-rand-8k":         {fioLarge, []string{"--ioengine=psync", "--rw=randwrite", "--bs=8k", "--size=4m", "--numjobs=4"}},
	}
}

// TestFio writes files with fio and has it verify them: once as it writes them,
// and once more after they were opened again, which dropped them from the cache:
// each byte comes by a READ then.
func TestFio(t *testing.T) {
	need(t, "fio")
	onEach(t, func(t *testing.T, p place) {
		jobs := fioJobs()
		for _, name := range slices.Sorted(maps.Keys(jobs)) {
			t.Run(name, func(t *testing.T) {
				own := mkdir(t, p.dir, name)
				defer remove(t, own)
				args := fioArgs(own, jobs[name])
				out, err := run(t, nil, own, "fio", args...)
				p.reads(t, jobs[name].mib<<20, func() {
					if err == nil {
						out, err = run(t, nil, own, "fio", append(args, "--verify_only")...)
					}
					judge(t, p, name, failure(out, err))
				})
			})
		}
	})
}
