package patch

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"regexp"
	"strings"
)

// fromLine starts each mail of an mbox.
var fromLine = regexp.MustCompile(`(?m)^From \S+ .*[0-9]{1,2}:[0-9]{2}.* [0-9]{4}\b`)

// splitMbox returns the mails of an mbox, or the whole of a text that is none.
func splitMbox(text []byte) [][]byte {
	starts := []int{0}
	for _, at := range fromLine.FindAllIndex(text, -1) {
		before := bytes.TrimSuffix(text[:at[0]], []byte("\r\n"))
		before = bytes.TrimSuffix(before, []byte("\n"))
		// A line of a mail's text may look the same; it has no empty line
		// before it that ends a mail.
		if at[0] > 0 && fromLine.Match(text[:min(len(text), 1024)]) && bytes.HasSuffix(before, []byte("\n")) {
			starts = append(starts, at[0])
		}
	}
	mails := make([][]byte, len(starts))
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		mails[i] = text[start:end]
	}
	return mails
}

var headerLine = regexp.MustCompile(`^[A-Za-z][A-Za-z-]*:[ \t]`)

// decodeMail returns subject and text of a mail, its transfer encoding
// undone. A text that is not a mail is its own body.
func decodeMail(text []byte) (subject string, body []byte, err error) {
	if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.HasSuffix(first, []byte("\r")) {
		text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	}
	rest := text
	if bytes.HasPrefix(rest, []byte("From ")) {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	if !headerLine.Match(rest) {
		return "", text, nil
	}
	msg, err := netmail.ReadMessage(bytes.NewReader(rest))
	if err != nil {
		return "", text, nil // a plain diff with a remark above it
	}
	subject = msg.Header.Get("Subject")
	if plain, err := new(mime.WordDecoder).DecodeHeader(subject); err == nil {
		subject = plain
	}
	body, err = decodePart(textproto.MIMEHeader(msg.Header), msg.Body, 0)
	return subject, body, err
}

// decodePart returns the text of a mail or of a part of it.
func decodePart(header textproto.MIMEHeader, body io.Reader, depth int) ([]byte, error) {
	kind, params, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if strings.HasPrefix(kind, "multipart/") {
		return decodeParts(multipart.NewReader(body, params["boundary"]), depth)
	}
	switch strings.ToLower(header.Get("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("decode mail: %w", err)
	}
	if kind != "" && !strings.HasPrefix(kind, "text/") {
		return nil, nil // a signature, a picture
	}
	return text, nil
}

// decodeParts joins the texts of a mail's parts.
func decodeParts(parts *multipart.Reader, depth int) ([]byte, error) {
	if depth > 4 {
		return nil, errors.New("decode mail: parts within parts within parts")
	}
	var all []byte
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode mail: %w", err)
		}
		text, err := decodePart(part.Header, part, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(append(all, text...), '\n')
	}
}

var subjectPrefix = regexp.MustCompile(`^(?:\s*(?:[Rr][Ee]:|\[[^\]]*\]))*\s*`)

// cleanSubject takes "[PATCH v2 1/3]" and the like away.
func cleanSubject(subject string) string {
	return strings.Join(strings.Fields(subjectPrefix.ReplaceAllString(subject, "")), " ")
}
