package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/runvm/runvm/internal/wire"
)

// newc returns an archive of records, padded as the host pads it.
func newc(t testing.TB, records ...cpio.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	w := cpio.Newc.Writer(&b)
	if err := cpio.WriteRecords(w, records); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), make([]byte, -b.Len()&3)...)
}

func TestUnpackMakesWhatWasPacked(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	archives := append(
		newc(t, cpio.Directory("a", 0o700), cpio.StaticFile("a/odd", "12345", 0o755), cpio.StaticFile("a/none", "", 0o600)),
		newc(t, cpio.Directory("a", 0o755), cpio.Symlink("a/link", "odd"), cpio.StaticFile("a/more", strings.Repeat("x", 5000), 0o644))...)
	if err := unpack(root, archives); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a/odd": "12345", "a/none": "", "a/link": "12345", "a/more": strings.Repeat("x", 5000)} {
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]os.FileMode{"a": 0o755, "a/odd": 0o755, "a/none": 0o600} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
}

func TestUnpackRefusesWhatItCannotMake(t *testing.T) {
	t.Parallel()
	whole := newc(t, cpio.StaticFile("file", "data", 0o644))
	for name, archive := range map[string][]byte{
		"outside":  newc(t, cpio.StaticFile("../out", "data", 0o644)),
		"device":   newc(t, cpio.CharDev("dev", 0o600, 1, 3)),
		"cut":      whole[:newcHeader+2],
		"no magic": bytes.Repeat([]byte("x"), newcHeader),
		"no hex":   bytes.Replace(whole, []byte("070701"), []byte("070701zz"), 1),
	} {
		root := filepath.Join(t.TempDir(), "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unpack(root, archive); err == nil {
			t.Errorf("%s: unpacked", name)
		}
		if _, err := os.Stat(filepath.Join(root, "../out")); err == nil {
			t.Errorf("%s: wrote outside of the root", name)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(newc(f, cpio.Directory("a", 0o700), cpio.StaticFile("a/b", "12345", 0o755)))
	f.Add([]byte("070701"))
	f.Fuzz(func(t *testing.T, archives []byte) {
		for len(archives) > 0 {
			_, rest, err := nextEntry(archives)
			if err != nil {
				return
			}
			if len(rest) >= len(archives) {
				t.Fatal("no progress")
			}
			archives = rest
		}
	})
}

// memory is what the payload's device shows.
func memory(header any, archives string) []byte {
	text, _ := json.Marshal(header)
	m := binary.LittleEndian.AppendUint32(nil, uint32(len(text)))
	return append(append(m, text...), archives...)
}

func TestParsePayload(t *testing.T) {
	t.Parallel()
	header, archives, err := parsePayload(memory(wire.Payload{Version: wire.Version, Size: 3, Clock: 7}, "abcdef"))
	if err != nil || string(archives) != "abc" || header.Clock != 7 {
		t.Errorf("%+v, %q, %v", header, archives, err)
	}
	for name, m := range map[string][]byte{
		"long header":   binary.LittleEndian.AppendUint32(nil, 100),
		"long archives": memory(wire.Payload{Version: wire.Version, Size: 7}, "abcdef"),
		"negative":      memory(wire.Payload{Version: wire.Version, Size: -1}, "abcdef"),
		"version":       memory(wire.Payload{Version: wire.Version + 1, Size: 1}, "abcdef"),
		"no JSON":       append(binary.LittleEndian.AppendUint32(nil, 4), "oops"...),
	} {
		if _, _, err := parsePayload(m); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPayloadMemoryNeedsItsDevice(t *testing.T) {
	t.Parallel()
	devices := t.TempDir()
	for name, id := range map[string][2]string{"0000:00:01.0": {"0x1af4", "0x1003"}, "0000:00:02.0": {"0x8086", "0x1110"}} {
		dir := filepath.Join(devices, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string]string{"vendor": id[0], "device": id[1]} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := payloadMemory(devices); err == nil {
		t.Error("found among other devices")
	}
	ours := filepath.Join(devices, "0000:00:02.0")
	if err := os.WriteFile(filepath.Join(ours, "vendor"), []byte(wire.PayloadVendor+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	bar, err := os.Create(filepath.Join(ours, "resource2"))
	if err != nil {
		t.Fatal(err)
	}
	defer bar.Close()
	if _, err := bar.WriteAt([]byte("found"), 0); err != nil {
		t.Fatal(err)
	}
	if err := bar.Truncate(wire.MaxPayload); err != nil {
		t.Fatal(err)
	}
	if m, err := payloadMemory(devices); err != nil || string(m[:5]) != "found" {
		t.Errorf("%v", err)
	}
}
