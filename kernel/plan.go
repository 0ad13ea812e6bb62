package kernel

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"github.com/runvm/runvm/kernel/config"
	"github.com/runvm/runvm/kernel/kconfig"
	"github.com/runvm/runvm/kernel/source"
)

// format is the version of the key and of meta.json. It grows when this
// package changes what it makes of the same inputs.
const format = 2

// maxConfig bounds a user's .config, in bytes.
const maxConfig = 4 << 20

// A plan is a request made definite: all that decides what the image holds.
type plan struct {
	tree      *source.Tree
	profile   string
	obj       string // name of the folder of objects in the lane
	wanted    []kconfig.Symbol
	user      []byte // the user's .config, nil for tinyconfig
	userSum   string
	toolchain string
	jobs      int
	key       string
}

var safeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

func (b *Builder) plan(ctx context.Context, req Request) (*plan, error) {
	if b.Cache == "" || strings.ContainsAny(b.Cache, " \t\n:") || !filepath.IsAbs(b.Cache) {
		return nil, fmt.Errorf("cache folder %q: must be an absolute path without spaces and colons, "+
			"the kernel's makefiles can't work in another", b.Cache)
	}
	if req.Tree == nil || !safeName.MatchString(req.Tree.Base) {
		return nil, errors.New("build: no kernel tree given")
	}
	p := &plan{tree: req.Tree, profile: req.Profile, jobs: req.Jobs}
	if p.profile == "" {
		p.profile = config.Default
	}
	if p.jobs <= 0 {
		p.jobs = runtime.NumCPU()
	}
	if err := p.symbols(req.Config, req.Exact); err != nil {
		return nil, err
	}
	var err error
	if p.toolchain, err = b.toolchain(ctx); err != nil {
		return nil, err
	}
	p.obj = objName(p.profile, req.Config)
	p.key = p.digest()
	return p, nil
}

// symbols reads what is wanted of the configuration.
func (p *plan) symbols(userConfig string, exact bool) error {
	version, err := kconfig.ParseVersion(p.tree.Version)
	if err != nil {
		return fmt.Errorf("build %s: %w", p.tree.Name, err)
	}
	all, err := config.Load(p.profile, userConfig == "")
	if err != nil {
		return err
	}
	if exact && userConfig != "" {
		all = nil
	}
	p.wanted = kconfig.Union(version, all)
	if userConfig == "" {
		return nil
	}
	if p.user, err = readConfig(userConfig); err != nil {
		return err
	}
	p.userSum = hexSum(p.user)
	return nil
}

// CheckConfig says what is wrong with the file path as Request.Config.
func CheckConfig(path string) error {
	_, err := readConfig(path)
	return err
}

// readConfig reads a user's .config.
func readConfig(path string) ([]byte, error) {
	text, err := readBounded(path, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	set, err := kconfig.ReadDotConfig(bytes.NewReader(text))
	if err == nil && len(set) == 0 {
		err = errors.New("no line of it sets a CONFIG_ symbol")
	}
	if err != nil {
		return nil, fmt.Errorf("read config %s: %w", path, err)
	}
	return text, nil
}

// digest is the key of the image: everything that can change it.
func (p *plan) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "runvm image %d\n", format)
	fmt.Fprintf(h, "tree %s\n", p.tree.ID)
	fmt.Fprintf(h, "config %s\n", p.userSum)
	fmt.Fprintf(h, "toolchain %q\n", p.toolchain)
	fmt.Fprintf(h, "flags %q\n", flags())
	for _, s := range p.wanted {
		fmt.Fprintln(h, s.Line())
	}
	if modular(p.wanted) { // images of before had none
		fmt.Fprintln(h, "modules")
	}
	return hex.EncodeToString(h.Sum(nil))[:keyDigits]
}

// flags are make's variables that are the same for every image.
func flags() []string {
	return []string{
		"ARCH=x86_64",
		"LOCALVERSION=", // no "+" because of a repository around the cache
		"KBUILD_BUILD_USER=runvm",
		"KBUILD_BUILD_HOST=runvm",
		"KBUILD_BUILD_TIMESTAMP=1970-01-01",
	}
}

// objName names the folder of objects after what is built in it, not after
// the symbols: an edited fragment then rebuilds only what depends on it.
func objName(profile, userConfig string) string {
	plain := userConfig == "" && safeName.MatchString(profile) && !config.IsPath(profile)
	if plain {
		return "obj-" + profile
	}
	name := absolute(userConfig)
	for _, element := range strings.Split(profile, ",") {
		element = strings.TrimSpace(element)
		if config.IsPath(element) {
			element = absolute(element)
		}
		name += "\n" + element
	}
	return "obj-" + hexSum([]byte(name))[:shortKey]
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil && path != "" {
		return abs
	}
	return path
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// readBounded reads a regular file of at most max bytes.
func readBounded(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > max {
		return nil, fmt.Errorf("%s: not a file of at most %d MiB", path, max>>20)
	}
	return io.ReadAll(io.LimitReader(f, max))
}
