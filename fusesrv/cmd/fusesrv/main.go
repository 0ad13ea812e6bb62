// Fusesrv serves a directory through FUSE and answers READs the way -path
// says:
//
//	fusesrv -path splice SRC MNT
//
// It runs until the mount ends. SIGINT and SIGTERM unmount, and while files
// are open a second one ends the connection under them. SIGUSR1 prints what
// was counted, as a line of JSON.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/runvm/runvm/fusesrv"
)

// Exit codes.
const (
	exitDone  = 0
	exitError = 1
	exitUsage = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program; it returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	o, src, mnt, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitDone
	}
	if err != nil {
		fmt.Fprintln(stderr, "fusesrv:", err)
		return exitUsage
	}
	// Before the mount: a signal must find its handler.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1)
	defer signal.Stop(signals)
	fusesrv.Processors(o.Workers)
	srv, err := fusesrv.Mount(mnt, fusesrv.Loopback(src), o)
	if err == nil {
		err = serve(srv, signals, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "fusesrv:", err)
		return exitError
	}
	return exitDone
}

// parse reads the command line.
func parse(args []string, stderr io.Writer) (o fusesrv.Options, src, mnt string, err error) {
	fs := flag.NewFlagSet("fusesrv", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() {
		fmt.Fprintln(stderr, "usage: fusesrv [flags] SRC MNT\nServe the directory SRC on the directory MNT, reading by a path of your choice.\n\nflags:")
		fs.PrintDefaults()
		fmt.Fprintln(stderr, "\nSIGINT and SIGTERM unmount; a second one ends a busy mount. SIGUSR1 prints statistics as a line of JSON.")
	}
	fs.StringVar(&o.Path, "path", "copy", "`name` of the way to answer READs: "+strings.Join(names(), ", "))
	fs.IntVar(&o.Workers, "workers", 1, "serve `n` requests at once, 1 to 64")
	fs.IntVar(&o.MaxRead, "max-read", fusesrv.MaxRead, "largest READ and WRITE in `bytes`")
	fs.BoolVar(&o.DirectIO, "direct-io", false, "ask the server at each read(2), past the page cache")
	fs.BoolVar(&o.DirectSource, "direct-source", false, "open files below SRC with O_DIRECT to read them")
	fs.BoolVar(&o.SpliceWrites, "splice-writes", false, "bring the data of WRITEs to files below SRC by splice(2)")
	fs.BoolVar(&o.KeepCache, "keep-cache", false, "keep a file's pages when it is opened again")
	fs.DurationVar(&o.Valid, "valid", time.Second, "believe names and attributes for this `time`")
	if err := fs.Parse(args); err != nil {
		return o, "", "", err
	}
	if fs.NArg() != 2 {
		return o, "", "", fmt.Errorf("want SRC and MNT, got %d arguments; see fusesrv -help", fs.NArg())
	}
	return o, fs.Arg(0), fs.Arg(1), nil
}

// names returns the names of all read paths.
func names() []string {
	var all []string
	for _, p := range fusesrv.Paths() {
		all = append(all, p.Name)
	}
	return all
}

// serve returns when the mount has ended, by a signal or from outside.
func serve(srv *fusesrv.Server, signals <-chan os.Signal, stdout, stderr io.Writer) error {
	ended := make(chan struct{})
	go func() {
		srv.Wait()
		close(ended)
	}()
	busy := false
	for {
		select {
		case <-ended:
			return nil
		case s := <-signals:
			switch {
			case s == syscall.SIGUSR1:
				if err := json.NewEncoder(stdout).Encode(srv.Stats()); err != nil {
					fmt.Fprintln(stderr, "fusesrv: print statistics:", err)
				}
			case busy:
				return srv.Abort()
			default:
				err := srv.Close()
				if !errors.Is(err, syscall.EBUSY) {
					return err
				}
				busy = true
				fmt.Fprintf(stderr, "fusesrv: %v; a second signal ends the connection\n", err)
			}
		}
	}
}
