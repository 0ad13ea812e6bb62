package kernel

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Prefixes of what is not finished, or no longer wanted.
const (
	tmpPrefix   = ".tmp-"
	trashPrefix = ".trash-"
)

const (
	metaName    = "meta.json"
	sourcesName = "sources" // what Image.Sources reads
)

// stored are the files of an image and where make leaves them.
func stored() map[string]string {
	return map[string]string{
		"vmlinux":    "vmlinux",
		"bzImage":    "arch/x86/boot/bzImage",
		"config":     ".config",
		"System.map": "System.map",
	}
}

// lookup returns the image named key, nil when the store lacks it or holds
// something damaged in its place, and notes that it was used.
func (b *Builder) lookup(key string) *Image {
	dir := b.imageDir(key)
	meta, err := readMeta(dir)
	if err != nil || meta.Key != key {
		return nil
	}
	for name, size := range meta.Sizes {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Size() != size {
			return nil
		}
	}
	var modules []string
	for _, name := range meta.Modules {
		modules = append(modules, filepath.Join(dir, name))
	}
	now := time.Now()
	_ = os.Chtimes(dir, now, now) // a store that can't be written to still serves
	return &Image{
		Dir:       dir,
		Vmlinux:   filepath.Join(dir, "vmlinux"),
		BzImage:   filepath.Join(dir, "bzImage"),
		PVH:       meta.PVH,
		Config:    filepath.Join(dir, "config"),
		SystemMap: filepath.Join(dir, "System.map"),
		Log:       filepath.Join(dir, "build.log"),
		Modules:   modules,
		Key:       key,
		Release:   meta.Release,
		Built:     meta.Built,
		Cached:    true,
		Meta:      meta,
	}
}

func readMeta(dir string) (*Meta, error) {
	text, err := readBounded(filepath.Join(dir, metaName), 1<<20)
	if err != nil {
		return nil, err
	}
	var meta Meta
	if err := json.Unmarshal(text, &meta); err != nil {
		return nil, err
	}
	if meta.Format != format || meta.Sizes["vmlinux"] == 0 {
		return nil, fmt.Errorf("%s: not an image of this version", dir)
	}
	return &meta, nil
}

// store copies what the lane made into the store: under a temporary name, and
// renamed when whole.
func (b *Builder) store(l *lane, took Timings) error {
	start := time.Now()
	images := filepath.Join(b.Cache, "image")
	if err := os.MkdirAll(images, 0o755); err != nil {
		return fmt.Errorf("make cache folder: %w", err)
	}
	tmp, err := os.MkdirTemp(images, tmpPrefix+l.key+"-")
	if err != nil {
		return fmt.Errorf("store image: %w", err)
	}
	defer os.RemoveAll(tmp)
	meta, err := l.fill(tmp)
	if err != nil {
		return fmt.Errorf("store image: %w", err)
	}
	took.Store = time.Since(start)
	meta.Took = took
	text, err := json.MarshalIndent(meta, "", "  ")
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(tmp, metaName), text); err != nil {
		return fmt.Errorf("store image: %w", err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("store image: %w", err)
	}
	final := b.imageDir(l.key)
	if _, err := os.Lstat(final); err == nil { // damaged, or lookup had found it
		if err := discard(final); err != nil {
			return err
		}
	}
	if err := os.Rename(tmp, final); err != nil {
		return fmt.Errorf("store image: %w", err)
	}
	return nil
}

// fill copies the files of the image into dir and describes them.
func (l *lane) fill(dir string) (*Meta, error) {
	sizes := map[string]int64{}
	for name, from := range stored() {
		n, err := copySynced(filepath.Join(dir, name), filepath.Join(l.obj, from))
		if err != nil {
			return nil, err
		}
		sizes[name] = n
	}
	n, err := copySynced(filepath.Join(dir, "build.log"), l.log)
	if err != nil {
		return nil, err
	}
	sizes["build.log"] = n
	compiled, err := l.sources()
	if err != nil {
		return nil, err
	}
	text := []byte(strings.Join(compiled, "\n"))
	if err := writeSynced(filepath.Join(dir, sourcesName), text); err != nil {
		return nil, err
	}
	sizes[sourcesName] = int64(len(text))
	modules, err := l.storeModules(dir, sizes)
	if err != nil {
		return nil, err
	}
	release, err := readBounded(filepath.Join(l.obj, "include/config/kernel.release"), 256)
	if err != nil {
		return nil, err
	}
	pvh, err := hasPVH(filepath.Join(dir, "vmlinux"))
	if err != nil {
		return nil, err
	}
	meta := l.describe()
	meta.Release, meta.PVH, meta.Sizes, meta.Modules = trimLine(release), pvh, sizes, modules
	return meta, nil
}

// describe is what is known of the image before it is there.
func (l *lane) describe() *Meta {
	_, cached := compiler()
	meta := &Meta{
		Format:    format,
		Key:       l.key,
		Tree:      TreeMeta{ID: l.tree.ID, Name: l.tree.Name, Base: l.tree.Base, Version: l.tree.Version, Dirty: l.tree.Dirty},
		Profile:   l.profile,
		Config:    l.userSum,
		Toolchain: l.toolchain,
		Flags:     flags(),
		Built:     time.Now().UTC(),
		Steps:     l.steps,
		CCache:    cached,
		Jobs:      l.jobs,
	}
	for _, s := range l.wanted {
		meta.Wanted = append(meta.Wanted, s.Line())
	}
	return meta
}

// copySynced copies a file and waits until it is on the disk, so that a
// machine that loses its power does not leave an image with holes.
func copySynced(to, from string) (int64, error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	n, err := io.Copy(out, in)
	if err != nil {
		return n, err
	}
	if err := out.Sync(); err != nil {
		return n, err
	}
	return n, out.Close()
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
