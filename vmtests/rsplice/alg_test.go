package rsplice

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// What AF_ALG is asked to decrypt: associated data, the IV of an IPsec packet and a
// text. The IV is not associated data for seqiv, though it is for the algorithm
// below, so nobody writes it.
const (
	algName     = "seqiv(rfc4106(gcm(aes)))"
	algAssoc    = 8
	algIV       = 8
	algText     = 100
	algRestrict = "/proc/sys/crypto/af_alg_restrict"
)

// allowAnyAlgorithm has AF_ALG know what programs do not need: since Linux 7.3 a
// switch keeps it to a list.
func allowAnyAlgorithm(t *testing.T) {
	t.Helper()
	before, err := os.ReadFile(algRestrict)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err == nil {
		err = os.WriteFile(algRestrict, []byte("0"), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(algRestrict, before, 0) })
}

// newCipher makes a socket that decrypts what is sent to it.
func newCipher(t *testing.T, key []byte) int {
	t.Helper()
	allowAnyAlgorithm(t)
	parent, err := unix.Socket(unix.AF_ALG, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		t.Skip("kernel has no AF_ALG")
	}
	if err != nil {
		t.Fatalf("AF_ALG: %v", err)
	}
	t.Cleanup(func() { unix.Close(parent) })
	if err := unix.Bind(parent, &unix.SockaddrALG{Type: "aead", Name: algName}); err != nil {
		t.Fatalf("bind to %s: %v", algName, err)
	}
	if err := unix.SetsockoptString(parent, unix.SOL_ALG, unix.ALG_SET_KEY, string(key)); err != nil {
		t.Fatalf("key: %v", err)
	}
	// unix.Accept4 knows no addresses of AF_ALG.
	fd, _, no := unix.Syscall6(unix.SYS_ACCEPT4, uintptr(parent), 0, 0, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0, 0)
	if no != 0 {
		t.Fatalf("accept: %v", no)
	}
	t.Cleanup(func() { unix.Close(int(fd)) })
	return int(fd)
}

// algMessage is a control message of SOL_ALG with one number.
func algMessage(kind int32, value uint32) []byte {
	b := make([]byte, unix.CmsgSpace(4))
	ne := binary.NativeEndian
	ne.PutUint64(b[0:], uint64(unix.CmsgLen(4)))
	ne.PutUint32(b[8:], unix.SOL_ALG)
	ne.PutUint32(b[12:], uint32(kind))
	ne.PutUint32(b[16:], value)
	return b
}

// newAlg makes a socket that yields a text that it decrypts, and in front of that
// what went with it.
func newAlg(t *testing.T) int {
	t.Helper()
	key := []byte("sixteen bytes...salt") // RFC 4106: the salt is for the nonce
	fd := newCipher(t, key)
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	assoc, iv := []byte("assoc..."), []byte("iv......")
	packet := append(append([]byte{}, assoc...), iv...)
	packet = gcm.Seal(packet, append(key[16:20:20], iv...), make([]byte, algText), assoc)
	how := append(algMessage(unix.ALG_SET_OP, unix.ALG_OP_DECRYPT), algMessage(unix.ALG_SET_AEAD_ASSOCLEN, algAssoc)...)
	if err := unix.Sendmsg(fd, packet, how, nil, 0); err != nil {
		t.Fatalf("send what is to be decrypted: %v", err)
	}
	return fd
}
