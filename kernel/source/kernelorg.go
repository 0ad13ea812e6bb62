package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"github.com/runvm/runvm/internal/progress"
)

// maxSums bounds the signed list of a major version, in bytes.
const maxSums = 16 << 20

// release returns the tree of exactly this release of kernel.org.
func (s *Store) release(ctx context.Context, version string) (*Tree, error) {
	base := "kernelorg-" + version
	if m, ok := s.load(base); ok {
		return &m.Tree, nil // a release never changes
	}
	release, err := s.lock(ctx, base)
	if err != nil {
		return nil, err
	}
	defer release()
	if m, ok := s.load(base); ok {
		return &m.Tree, nil
	}
	sums, err := s.sums(ctx, version)
	if err != nil {
		return nil, err
	}
	digest := sums[version]
	if digest == "" {
		return nil, fmt.Errorf("%w: kernel.org has no release %s", ErrUnknown, version)
	}
	tree := Tree{Name: "linux " + version + " (kernel.org)", Base: base, Digest: digest}
	if err := s.fetchRelease(ctx, version, &tree); err != nil {
		return nil, err
	}
	return &tree, s.save(base, memo{Tree: tree})
}

func (s *Store) fetchRelease(ctx context.Context, version string, tree *Tree) error {
	name := "linux-" + version + ".tar.xz"
	file := filepath.Join(s.Dir, "download", name)
	if err := s.download(ctx, s.folder(version)+name, file, tree.Digest); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := s.importXZ(ctx, tree, name, f, info.Size()); err != nil {
		return err
	}
	return os.Remove(file)
}

// newestRelease returns the tree of the newest release of a series, "6.12".
// The answer is asked for again after a day.
func (s *Store) newestRelease(ctx context.Context, series string) (*Tree, error) {
	sums, err := s.sums(ctx, series)
	if err != nil {
		return nil, err
	}
	newest, best := "", -1
	for version := range sums {
		minor, found := strings.CutPrefix(version, series)
		n, _ := strconv.Atoi(strings.TrimPrefix(minor, "."))
		if found && (minor == "" || minor[0] == '.') && n > best {
			newest, best = version, n
		}
	}
	if newest == "" {
		return nil, fmt.Errorf("%w: kernel.org has no release of %s", ErrUnknown, series)
	}
	return s.release(ctx, newest)
}

// folder is the address of the folder that holds the release.
func (s *Store) folder(version string) string {
	base := s.KernelOrg
	if base == "" {
		base = DefaultKernelOrg
	}
	major, _, _ := strings.Cut(version, ".")
	return strings.TrimSuffix(base, "/") + "/v" + major + ".x/"
}

// sums returns the signed SHA-256 of every release that has the major version
// of the one given, by version.
func (s *Store) sums(ctx context.Context, version string) (map[string]string, error) {
	url := s.folder(version) + "sha256sums.asc"
	step := s.sink().Start("get the list of releases", 0, progress.Bytes)
	defer step.Done("")
	text, err := fetchSmall(ctx, url, maxSums)
	var status *statusError
	if errors.As(err, &status) && status.code == 404 {
		return nil, fmt.Errorf("%w %s: %w", ErrUnknown, version, err)
	}
	if err != nil {
		return nil, err
	}
	key, err := s.signer()
	if err != nil {
		return nil, err
	}
	signed, err := verify(text, key, time.Now())
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", url, err)
	}
	return parseSums(signed), nil
}

var sumLine = regexp.MustCompile(`(?m)^([0-9a-f]{64})  linux-([0-9]+\.[0-9]+(?:\.[0-9]+)?)\.tar\.xz\r?$`)

func parseSums(text []byte) map[string]string {
	sums := map[string]string{}
	for _, m := range sumLine.FindAllSubmatch(text, -1) {
		sums[string(m[2])] = string(m[1])
	}
	return sums
}

// signer is the key that must have signed the sums.
func (s *Store) signer() (*packet.PublicKey, error) {
	if s.KernelOrgKey != "" {
		return readKey(s.KernelOrgKey)
	}
	key, err := readKey(autosignerKey)
	if err == nil && fmt.Sprintf("%X", key.Fingerprint) != autosignerFingerprint {
		return nil, fmt.Errorf("key of kernel.org: %w", ErrUntrusted)
	}
	return key, err
}

// readKey returns the primary key of an armored public key. Who it belongs to
// does not matter: it is trusted because it is this key.
func readKey(armored string) (*packet.PublicKey, error) {
	block, err := armor.Decode(strings.NewReader(armored))
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	p, err := packet.Read(block.Body)
	if err != nil {
		return nil, fmt.Errorf("read public key: %w", err)
	}
	key, ok := p.(*packet.PublicKey)
	if !ok {
		return nil, fmt.Errorf("read public key: found %T", p)
	}
	return key, nil
}

// verify returns the text of a clear-signed message that key has signed.
func verify(message []byte, key *packet.PublicKey, now time.Time) ([]byte, error) {
	block, _ := clearsign.Decode(message)
	if block == nil {
		return nil, fmt.Errorf("%w: not a signed message", ErrUntrusted)
	}
	packets := packet.NewReader(io.LimitReader(block.ArmoredSignature.Body, 64<<10))
	for {
		p, err := packets.Next()
		if err != nil {
			return nil, fmt.Errorf("%w: no good signature by %X", ErrUntrusted, key.Fingerprint)
		}
		if sig, ok := p.(*packet.Signature); ok && signedBy(block.Bytes, sig, key, now) {
			return block.Plaintext, nil
		}
	}
}

// signedBy refuses, beyond wrong signatures, weak digests and signatures made
// in the future; a day of grace is for clocks that are set wrongly.
func signedBy(text []byte, sig *packet.Signature, key *packet.PublicKey, now time.Time) bool {
	if sig.SigType != packet.SigTypeText && sig.SigType != packet.SigTypeBinary {
		return false
	}
	if !sig.Hash.Available() || sig.Hash.Size() < 32 || sig.CreationTime.After(now.Add(24*time.Hour)) {
		return false
	}
	h, err := sig.PrepareVerify()
	if err != nil {
		return false
	}
	// Lines of a clear-signed text end with CRLF when they are signed; Decode
	// has made them so.
	if _, err := io.Copy(h, bytes.NewReader(text)); err != nil {
		return false
	}
	return key.VerifySignature(h, sig) == nil
}
