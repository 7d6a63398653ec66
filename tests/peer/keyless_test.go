package peer

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/asn1"
	"testing"
)

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
}

type pfx struct {
	Version  int
	AuthSafe contentInfo
	MacData  struct {
		Mac struct {
			Algorithm asn1.RawValue
			Digest    []byte
		}
		Salt       []byte
		Iterations int `asn1:"optional,default:1"`
	} `asn1:"optional"`
}

// without is a PKCS#12 file, with the empty password and a MAC by SHA-1, without what its safe of this number holds: 0 for
// the certificates, 1 for the key. There is no program that makes such files with two safes, which Go insists on.
func without(t *testing.T, number int, file []byte) []byte {
	t.Helper()
	var whole pfx
	var text []byte
	var safes []contentInfo
	decode(t, file, &whole)
	decode(t, whole.AuthSafe.Content.Bytes, &text)
	decode(t, text, &safes)
	data := asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	safes[number] = contentInfo{data, explicit(encode(t, []byte{0x30, 0}))}
	text = encode(t, safes)
	whole.AuthSafe.Content = explicit(encode(t, text))
	mac := hmac.New(sha1.New, macKey(whole.MacData.Salt, whole.MacData.Iterations))
	mac.Write(text)
	whole.MacData.Mac.Digest = mac.Sum(nil)
	return encode(t, whole)
}

// macKey is what RFC 7292, appendix B, derives from the empty password for a MAC by SHA-1.
func macKey(salt []byte, iterations int) []byte {
	const block, purpose = 64, 3
	repeated := func(bytes []byte) []byte {
		all := []byte{}
		for len(all)%block != 0 || len(all) == 0 {
			all = append(all, bytes[len(all)%len(bytes)])
		}
		return all
	}
	digest := append(repeated([]byte{purpose}), append(repeated(salt), repeated([]byte{0, 0})...)...)
	for range iterations {
		sum := sha1.Sum(digest)
		digest = sum[:]
	}
	return digest
}

func explicit(content []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: content}
}

func decode(t *testing.T, der []byte, value any) {
	t.Helper()
	if rest, err := asn1.Unmarshal(der, value); err != nil || len(rest) > 0 {
		t.Fatalf("not DER: %v, %d bytes more", err, len(rest))
	}
}

func encode(t *testing.T, value any) []byte {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
