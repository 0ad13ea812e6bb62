package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"github.com/runvm/runvm/internal/progress"
)

// otherSuites are those of Debian that between them have every kernel it
// supports. They are looked into after what the system is configured for.
var otherSuites = [...]string{"bookworm", "trixie-backports", "sid"}

// securitySuite has the kernels that were added to bookworm after its release.
const securitySuite = "bookworm-security"

// archiveKeyring is the system's file with the keys of Debian's archive.
// Where it is missing apt uses the keys it trusts for everything.
const archiveKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// privateConf sets up lists beside the system's: %[1]s is their folder. Every
// check of signatures is on, and no hook of the system's runs.
const privateConf = `Dir::State "%[1]s/state";
Dir::State::lists "%[1]s/lists";
Dir::State::status "/dev/null";
Dir::State::extended_states "/dev/null";
Dir::Cache "%[1]s/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Dir::Etc::sourcelist "%[1]s/debian.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Acquire::Languages "none";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
APT::Get::AllowUnauthenticated "false";
APT::Sandbox::User "root";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
`

// lists returns the modification times of what the answers of the system's
// apt depend on.
func (a apt) lists(ctx context.Context) (map[string]int64, error) {
	out, err := a.command(ctx, "", "apt-config", "shell",
		"LISTS", "Dir::State::lists/d", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d").Output()
	if err != nil {
		return nil, fmt.Errorf("ask apt for its folders: %w", err)
	}
	var paths []string
	for line := range strings.Lines(string(out)) {
		if _, folder, found := strings.Cut(strings.TrimSpace(line), "="); found {
			paths = append(paths, strings.Trim(folder, "'"))
		}
	}
	return watch(paths...), nil
}

// series returns the kernel series there are packages of.
func (a apt) series(ctx context.Context) []string {
	out, _ := a.command(ctx, "", "apt-cache", "pkgnames", "linux-source-").Output()
	var names []string
	for name := range strings.FieldsSeq(string(out)) {
		if series := strings.TrimPrefix(name, "linux-source-"); versions.MatchString(series) {
			names = append(names, series)
		}
	}
	slices.Sort(names)
	return names
}

// archives are the addresses of Debian, as the system's configuration has
// them. security may be "".
type archives struct{ main, security string }

func (a *archives) add(label, uri string) {
	uri = strings.TrimSuffix(uri, "/")
	// One word of a list, and nothing more.
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return
	}
	switch {
	case label == "Debian" && a.main == "":
		a.main = uri
	case label == "Debian-Security" && a.security == "":
		a.security = uri
	}
}

// archives asks the system's apt.
func (a apt) archives(ctx context.Context) (archives, error) {
	var found archives
	out, err := a.command(ctx, "", "apt-get", "indextargets", "--format",
		"$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages").Output()
	if err != nil {
		return found, fmt.Errorf("ask apt for its archives: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if target := strings.Split(strings.TrimSpace(line), "|"); len(target) == 3 && target[0] == "Debian" {
			found.add(target[1], target[2])
		}
	}
	if len(out) == 0 || found.main != "" && found.security == "" {
		err = a.archivesWithoutLists(ctx, &found)
	}
	if err == nil && found.main == "" {
		err = errors.New("no archive of Debian is configured")
	}
	return found, err
}

// archivesWithoutLists is archives for a system some of whose lists were never
// fetched or were thrown away, as in containers: what would be fetched is
// asked for.
func (a apt) archivesWithoutLists(ctx context.Context, found *archives) error {
	out, err := a.command(ctx, "", "apt-get", "update", "--print-uris").Output()
	if err != nil {
		return fmt.Errorf("ask apt for its archives: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		uri, _, _ := strings.Cut(strings.TrimPrefix(line, "'"), "'")
		base, _, _ := strings.Cut(uri, "/dists/")
		switch path.Base(base) {
		case "debian":
			found.add("Debian", base)
		case "debian-security":
			found.add("Debian-Security", base)
		}
	}
	return nil
}

// privateApt returns an apt with lists of its own of Debian's other suites,
// fetched when they are older than a day. stale, when not empty, says that
// some could not be fetched, or none and they are older.
func (s *Store) privateApt(ctx context.Context, system apt) (private apt, stale string, err error) {
	release, err := s.lock(ctx, "apt")
	if err != nil {
		return apt{}, "", err
	}
	defer release()
	dir, err := filepath.Abs(filepath.Join(s.Dir, "apt"))
	if err != nil {
		return apt{}, "", err
	}
	private = apt{run: s.Sh, bin: s.bin, conf: filepath.Join(dir, "apt.conf")}
	stamp := filepath.Join(dir, "fetched")
	if info, err := os.Stat(stamp); err == nil && time.Since(info.ModTime()) < refresh {
		return private, "", nil
	}
	if err := writeLists(ctx, system, dir); err != nil {
		return apt{}, "", err
	}
	step := s.sink().Start("get Debian's package lists", 0, progress.Bytes)
	err = withRoom(ctx, func() bool { return noRoom(dir) }, func(ctx context.Context) error {
		return aptError(private.command(ctx, "", "apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update").Run())
	})
	step.Done("")
	switch {
	case err == nil:
		return private, "", renameio.WriteFile(stamp, nil, 0o644)
	case ctx.Err() != nil:
		return apt{}, "", err
	case errors.Is(err, ErrDiskFull):
		return apt{}, "", fmt.Errorf("get Debian's package lists: %w", err)
	case !errors.Is(err, ErrNetwork):
		// One suite that is expired or signed by a newer key takes nothing from
		// the others: apt keeps the lists it could check, and only those.
		return private, fmt.Sprintf("not every package list could be fetched: %v", err), renameio.WriteFile(stamp, nil, 0o644)
	}
	if _, statErr := os.Stat(stamp); statErr == nil {
		return private, fmt.Sprintf("package lists older than a day are used: %v", err), nil
	}
	return apt{}, "", fmt.Errorf("get Debian's package lists: %w", err)
}

// writeLists writes the configuration of the private lists into dir.
func writeLists(ctx context.Context, system apt, dir string) error {
	found, err := system.archives(ctx)
	if err != nil {
		return err
	}
	for _, folder := range []string{"state", "lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return err
		}
	}
	sources := stanza(found.main, otherSuites[:]...)
	if found.security != "" {
		sources += stanza(found.security, securitySuite)
	}
	if err := renameio.WriteFile(filepath.Join(dir, "debian.sources"), []byte(sources), 0o644); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, "apt.conf"), fmt.Appendf(nil, privateConf, dir), 0o644)
}

// stanza is the entry of a list for suites of an archive.
func stanza(uri string, suites ...string) string {
	text := fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n", uri, strings.Join(suites, " "))
	if _, err := os.Stat(archiveKeyring); err == nil {
		text += "Signed-By: " + archiveKeyring + "\n"
	}
	return text + "\n"
}
