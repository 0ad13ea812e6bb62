package kernel

import (
	"time"

	"github.com/runvm/runvm/kernel/source"
)

// A Request says which image is wanted.
type Request struct {
	// Tree is the source, patches applied.
	Tree *source.Tree
	// Profile is "plain", "debug", "dump" or a comma-separated list of profiles,
	// fragments of package config and paths of *.config files; what comes
	// later in the list wins. "" is "plain".
	Profile string
	// Config is the path of a complete .config to start from; "" starts from
	// tinyconfig.
	Config string
	// Exact says that Config is all that is wanted: no profile is put on it.
	Exact bool
	// Jobs is how many compilers run at once; 0 is one per CPU.
	Jobs int
}

// An Image is a kernel that can be booted. All its paths are absolute.
type Image struct {
	// Dir is the folder in the store; "" for an image that was given as a file.
	Dir string
	// Vmlinux is the ELF file; "" when only a bzImage was given.
	Vmlinux string
	// BzImage is the compressed image; "" when only a vmlinux was given.
	BzImage string
	// PVH says that Vmlinux has the note by which QEMU boots it directly.
	PVH bool
	// Config, SystemMap and Log are the .config, the table of symbols and
	// make's output; "" for an image that was given as a file.
	Config    string
	SystemMap string
	Log       string
	// Modules are what profiles and fragments set to m, in an order in which they
	// can be loaded.
	Modules []string
	// Key names the image: 24 hexadecimal digits over all that went into it,
	// or over the file's content when it was given as a file.
	Key string
	// Release is what uname -r says in the guest; "" when the file hides it.
	Release string
	// Built is when the image was made.
	Built time.Time
	// Cached says that nothing had to be compiled.
	Cached bool
	// Meta is how the image came to be; nil for an image given as a file.
	Meta *Meta
}

// The digits of a key, and those people are shown.
const (
	keyDigits = 24
	shortKey  = 12
)

// Short returns the first 12 digits of the key. The guest's uname -v holds
// "runvm-" and these digits.
func (i *Image) Short() string { return i.Key[:shortKey] }

// Meta is meta.json in the folder of an image: everything that went into the
// key, and what came of it.
type Meta struct {
	Format    int       `json:"format"` // of this file and of the key
	Key       string    `json:"key"`
	Tree      TreeMeta  `json:"tree"`
	Profile   string    `json:"profile"`
	Wanted    []string  `json:"wanted"`      // symbols as in a .config, sorted
	Config    string    `json:"user_config"` // SHA-256 of the user's .config or ""
	Toolchain string    `json:"toolchain"`
	Flags     []string  `json:"flags"` // of make
	Release   string    `json:"release"`
	PVH       bool      `json:"pvh"`
	Built     time.Time `json:"built"`
	Steps     int       `json:"steps"` // commands that make ran
	CCache    bool      `json:"ccache"`
	Jobs      int       `json:"jobs"`
	Modules   []string  `json:"modules,omitempty"` // files beside meta.json, in the order to load them
	// Sizes are the bytes of the files beside meta.json.
	Sizes map[string]int64 `json:"sizes"`
	// Took is how long the stages lasted.
	Took Timings `json:"took_ns"`
}

// TreeMeta is the source an image was built from.
type TreeMeta struct {
	ID      string `json:"id"` // git tree object
	Name    string `json:"name"`
	Base    string `json:"base"`
	Version string `json:"version"`
	Dirty   bool   `json:"dirty,omitempty"`
}

// Timings are the durations of the stages of a build.
type Timings struct {
	Checkout  time.Duration `json:"checkout"`
	Configure time.Duration `json:"configure"`
	Compile   time.Duration `json:"compile"`
	Store     time.Duration `json:"store"`
}
