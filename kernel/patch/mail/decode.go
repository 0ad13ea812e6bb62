package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"path"
	"regexp"
	"strings"

	"github.com/emersion/go-message"
	"golang.org/x/text/encoding/htmlindex"
)

var headerLine = regexp.MustCompile(`^[A-Za-z][A-Za-z-]*:[ \t]`)

// Parse reads one mail, or a diff without one, and the mails attached to it.
// What is wrong with a mail is its Flaw; only its size is an error.
func Parse(name string, raw []byte) ([]Mail, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%w: larger than %d MiB", ErrRefused, MaxSize>>20)
	}
	d := &decoder{}
	d.mail(name, raw, 0)
	return d.mails, nil
}

// A decoder takes a mail apart.
type decoder struct {
	mails []Mail
	parts int
}

// errDeep and its like are flaws of a mail.
var (
	errDeep  = fmt.Errorf("parts within parts, more than %d deep", maxDepth)
	errParts = fmt.Errorf("more than %d parts", maxParts)
)

// mail reads one mail and, behind it, those attached to it.
func (d *decoder) mail(name string, raw []byte, depth int) {
	sum := sha256.Sum256(raw)
	m := Mail{Name: name, Tag: Tag{Version: 1}, Text: raw, Digest: hex.EncodeToString(sum[:]), Attached: depth > 0}
	at := len(d.mails)
	d.mails = append(d.mails, m)
	if entity := open(raw); entity != nil {
		readHeader(&m, entity.Header)
		p := &parts{decoder: d, name: name}
		if err := p.read(entity, depth); err != nil {
			m.Flaw = Printable(err.Error())
		}
		m.Text = p.text
		if m.Flaw == "" {
			m.Flaw = p.flaw(&m)
		}
	}
	for i := at + 1; i < len(d.mails); i++ {
		// A patch attached to an answer is a remark, as one in its text is.
		d.mails[i].Tag.Reply = d.mails[i].Tag.Reply || m.Tag.Reply
	}
	m.sum = sha256.Sum256(m.Text)
	d.mails[at] = m
}

// open reads the header of a mail; nil is a text that is no mail.
func open(raw []byte) *message.Entity {
	if first, _, _ := bytes.Cut(raw, []byte("\n")); bytes.HasSuffix(first, []byte("\r")) {
		raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	}
	if bytes.HasPrefix(raw, []byte("From ")) || bytes.HasPrefix(raw, []byte(">From ")) {
		_, raw, _ = bytes.Cut(raw, []byte("\n"))
	}
	if !headerLine.Match(raw) {
		return nil
	}
	// An unknown charset or encoding comes with an entity; the latter is
	// found again where the part is read.
	entity, _ := message.ReadWithOptions(bytes.NewReader(raw), &message.ReadOptions{MaxHeaderBytes: maxHeader})
	return entity
}

// parts collects the text of a mail.
type parts struct {
	*decoder
	name     string
	text     []byte
	flowed   bool // some text is format=flowed
	html     bool // some text is HTML
	attached int
}

// flaw says why m cannot be a patch, "" when it can.
func (p *parts) flaw(m *Mail) string {
	switch diff := m.HasDiff(); {
	case diff && p.flowed:
		return "format=flowed: the sender's mail program may have changed spaces and broken lines of the diff; ask for it as an attachment or from git send-email"
	case !diff && p.html && len(bytes.TrimSpace(p.text)) == 0:
		return "its text is HTML only; ask for plain text"
	}
	return ""
}

// read adds the texts of an entity.
func (p *parts) read(e *message.Entity, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	if p.parts++; p.parts > maxParts {
		return errParts
	}
	if parts := e.MultipartReader(); parts != nil {
		return p.all(parts, depth)
	}
	kind, params, _ := e.Header.ContentType()
	_, disposition, _ := e.Header.ContentDisposition()
	file := disposition["filename"]
	if file == "" {
		file = params["name"]
	}
	isPatch := patchKind(kind) || path.Ext(file) == ".patch" || path.Ext(file) == ".diff"
	switch {
	case kind == "text/html":
		p.html = true
		return nil
	case kind != "" && kind != "text/plain" && kind != "message/rfc822" && !isPatch:
		return nil // a signature, a picture
	}
	if encoding := e.Header.Get("Content-Transfer-Encoding"); !known(encoding) {
		return fmt.Errorf("transfer encoding %q is not known", encoding)
	}
	text, err := io.ReadAll(e.Body)
	if err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	text = unixLines(text)
	if kind == "message/rfc822" || isPatch && depth > 0 && isMail(text) {
		p.attached++
		p.mail(fmt.Sprintf("%s+%d", p.name, p.attached), text, depth+1)
		return nil
	}
	p.flowed = p.flowed || strings.EqualFold(params["format"], "flowed")
	p.add(text, params["charset"])
	return nil
}

// all reads the parts of an entity.
func (p *parts) all(parts message.MultipartReader, depth int) error {
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if part == nil {
			return fmt.Errorf("decode: %w", err)
		}
		if err := p.read(part, depth+1); err != nil {
			return err
		}
	}
}

// add appends a text, its prose made UTF-8; the bytes of a diff stay as they
// are, for they are those of a file.
func (p *parts) add(text []byte, charset string) {
	at := diffStart(text)
	if at >= 0 && bytes.Contains(p.text, bytes.TrimSpace(text[at:])) {
		return // the diff of the text, attached too
	}
	if at < 0 {
		at = len(text)
	}
	p.text = append(append(p.text, toUTF8(text[:at], charset)...), text[at:]...)
	// The line end before a boundary is the boundary's.
	if len(p.text) > 0 && !bytes.HasSuffix(p.text, []byte("\n")) {
		p.text = append(p.text, '\n')
	}
}

func patchKind(kind string) bool {
	switch kind {
	case "text/x-patch", "text/x-diff", "text/patch", "text/diff", "application/x-patch", "application/x-diff":
		return true
	}
	return false
}

// known says whether the body was decoded.
func known(encoding string) bool {
	switch strings.ToLower(encoding) {
	case "", "7bit", "8bit", "binary", "quoted-printable", "base64":
		return true
	}
	return false
}

// isMail says that an attached file is a mail itself, as git format-patch
// writes it.
func isMail(text []byte) bool {
	e := open(text)
	return e != nil && e.Header.Has("Subject")
}

// unixLines undoes the line ends of mail. A text that has them on some lines
// only has them for a reason.
func unixLines(text []byte) []byte {
	if n := bytes.Count(text, []byte("\n")); n > 0 && n == bytes.Count(text, []byte("\r\n")) {
		return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	}
	return text
}

// toUTF8 decodes text; one whose charset is not known stays as it is.
func toUTF8(text []byte, charset string) []byte {
	r, err := charsetReader(charset, bytes.NewReader(text))
	if err != nil {
		return text
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return text
	}
	return plain
}

func charsetReader(charset string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(charset) {
	case "", "utf-8", "us-ascii":
		return r, nil
	}
	encoding, err := htmlindex.Get(charset)
	if err != nil {
		return nil, err
	}
	return encoding.NewDecoder().Reader(r), nil
}

// words decodes the words of a header that are not ASCII (RFC 2047).
func words(s string) string {
	decoder := mime.WordDecoder{CharsetReader: charsetReader}
	if plain, err := decoder.DecodeHeader(s); err == nil {
		s = plain
	}
	return Printable(s)
}

// diffStart returns where the diff in text begins, -1 when there is none: at
// a header of git, or at the names of a file before and after.
func diffStart(text []byte) int {
	git := nextLine(text, 0, "diff --git ")
	if git >= 0 {
		text = text[:git]
	}
	for at := nextLine(text, 0, "--- "); at >= 0; at = nextLine(text, at+1, "--- ") {
		_, rest, _ := bytes.Cut(text[at:], []byte("\n"))
		if bytes.HasPrefix(rest, []byte("+++ ")) {
			return at
		}
	}
	return git
}
