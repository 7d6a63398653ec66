#!/usr/bin/env bash
# Makes the certificates, PKCS#12 files and public keys beside it, and what openssl reads from them.
# Needs OpenSSL 3 with its legacy provider. Run again, it makes other keys; all of it is committed.
set -euo pipefail
cd "$(dirname "$0")"
rm -rf chain pfx keys
mkdir chain pfx keys
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# No extensions but those asked for, whatever the machine's own configuration says.
printf '[req]\ndistinguished_name = name\n[name]\n' > "$work/empty.cnf"

rsa=(-algorithm RSA -pkeyopt rsa_keygen_bits:2048)
p256=(-algorithm EC -pkeyopt ec_paramgen_curve:P-256)

# key NAME OPTION...
key() { openssl genpkey "${@:2}" -out "$work/$1.key" 2> "$work/log"; }

# certificate NAME KEY SUBJECT ISSUER ISSUER_KEY KIND [OPTION...]: signed by the issuer, or by
# itself where issuer is -. KIND: ca, leaf, or bare for no extensions at all.
certificate() {
    local name=$1 key=$2 subject=$3 issuer=$4 issuer_key=$5 kind=$6
    local extensions=()
    local ids=(-addext subjectKeyIdentifier=hash -addext authorityKeyIdentifier=keyid)
    case $kind in
    ca) extensions=("${ids[@]}" -addext basicConstraints=critical,CA:TRUE) ;;
    leaf) extensions=("${ids[@]}" -addext subjectAltName=DNS:shop.example) ;;
    esac
    local by=(-CA "chain/$issuer.pem" -CAkey "$work/$issuer_key.key")
    [ "$issuer" != - ] || by=()
    openssl req -config "$work/empty.cnf" -x509 -new -key "$work/$key.key" -subj "$subject" -days 36500 -set_serial "0x$(openssl rand -hex 8)" \
        "${extensions[@]}" "${by[@]}" "${@:7}" -out "chain/$name.pem"
}

# Three levels, in every signature that is checked. pss: RSA-PSS signatures.
chain() {
    local name=$1 kind=$2 options=("${@:3}")
    local ca=ca leaf=leaf
    [ "$kind" != bare ] || ca=bare leaf=bare
    certificate "$name-root" "$name-root" "/CN=$name root" - - $ca "${options[@]}"
    certificate "$name-intermediate" "$name-intermediate" "/CN=$name intermediate" "$name-root" "$name-root" $ca "${options[@]}"
    certificate "$name-leaf" "$name-leaf" "/CN=shop.example" "$name-intermediate" "$name-intermediate" $leaf "${options[@]}"
}

# keys NAME OPTION...
keys() { for level in root intermediate leaf; do key "$1-$level" "${@:2}"; done; }

keys rsa "${rsa[@]}";  chain rsa extended -sha256
keys ec "${p256[@]}";  chain ec extended -sha256
for name in rsa ec; do
    for level in root intermediate leaf; do cp "$work/$name-$level.key" "$work/$name-bare-$level.key"; done
    chain "$name-bare" bare -sha256
done
keys p384 -algorithm EC -pkeyopt ec_paramgen_curve:P-384;  chain p384 extended -sha384
keys p521 -algorithm EC -pkeyopt ec_paramgen_curve:P-521;  chain p521 extended -sha512
keys ed25519 -algorithm ED25519;                           chain ed25519 extended
for level in root intermediate leaf; do cp "$work/rsa-$level.key" "$work/pss-$level.key"; done
chain pss extended -sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest
# A signature that is not checked (SHA3-256), with key identifiers to go by, and without.
for level in root intermediate leaf; do cp "$work/ec-$level.key" "$work/sha3-$level.key"; cp "$work/ec-$level.key" "$work/sha3-bare-$level.key"; done
chain sha3 extended -sha3-256
chain sha3-bare bare -sha3-256

# The root, cross-signed by an older one; and another authority of the intermediate's name.
key old-root "${p256[@]}"
certificate old-root old-root "/CN=old root" - - ca
certificate ec-root-cross ec-root "/CN=ec root" old-root old-root ca
key other-intermediate "${p256[@]}"
certificate other-intermediate other-intermediate "/CN=ec intermediate" ec-root ec-root bare
# A second leaf of the same intermediate.
key other-leaf "${p256[@]}"
certificate other-leaf other-leaf "/CN=other.example" ec-intermediate ec-intermediate leaf

# export_pfx NAME CHAIN OPTION...: NAME.pfx, and what openssl reads from it: NAME.key, NAME.crt.
export_pfx() {
    local name=$1 chain=$2
    openssl pkcs12 -export -passout pass: -inkey "$work/$chain-leaf.key" -in "chain/$chain-leaf.pem" \
        -certfile "$work/others.pem" "${@:3}" -out "pfx/$name.pfx" 2> "$work/log"
    expected "$name"
}

expected() {
    local name=$1
    openssl pkcs12 -legacy -in "pfx/$name.pfx" -passin pass: -nodes -nocerts | openssl pkey -out "pfx/$name.key"
    openssl pkcs12 -legacy -in "pfx/$name.pfx" -passin pass: -nokeys | sed -n '/^-----BEGIN/,/^-----END/p' > "pfx/$name.crt"
}

triple_des=(-legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-3DES -macalg sha1)
rc2_40=(-legacy -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-RC2-40 -macalg sha1)
aes_256=(-keypbe AES-256-CBC -certpbe AES-256-CBC -macalg sha256)

for chain in rsa ec; do
    cat "chain/$chain-intermediate.pem" "chain/$chain-root.pem" > "$work/others.pem"
    export_pfx "$chain-3des" "$chain" "${triple_des[@]}"
    export_pfx "$chain-rc2-40" "$chain" "${rc2_40[@]}"
    export_pfx "$chain-aes-256" "$chain" "${aes_256[@]}"
    # Windows writes the root before the intermediate.
    cat "chain/$chain-root.pem" "chain/$chain-intermediate.pem" > "$work/others.pem"
    export_pfx "$chain-shuffled" "$chain" "${aes_256[@]}"
    cat "chain/$chain-bare-root.pem" "chain/$chain-bare-intermediate.pem" > "$work/others.pem"
    export_pfx "$chain-bare" "$chain-bare" "${aes_256[@]}"
done
for chain in p384 p521 ed25519; do
    cat "chain/$chain-intermediate.pem" "chain/$chain-root.pem" > "$work/others.pem"
    export_pfx "$chain-aes-256" "$chain" "${aes_256[@]}"
done

cat chain/ec-intermediate.pem chain/ec-root.pem > "$work/others.pem"
export_pfx ec-sha-512 ec -keypbe AES-128-CBC -certpbe AES-192-CBC -macalg sha512
export_pfx ec-3des-pbes2 ec -keypbe DES-EDE3-CBC -certpbe DES-EDE3-CBC -macalg sha384
export_pfx ec-2key-rc2-128 ec -legacy -keypbe PBE-SHA1-2DES -certpbe PBE-SHA1-RC2-128 -macalg sha224
export_pfx ec-no-mac ec "${aes_256[@]}" -nomac
export_pfx ec-plain ec -keypbe NONE -certpbe NONE -macalg sha256
export_pfx ec-plain-certificates ec -keypbe AES-256-CBC -certpbe NONE -macalg sha1

# With an unrelated certificate, so that there is no complete chain.
cat chain/rsa-root.pem chain/ec-intermediate.pem > "$work/others.pem"
export_pfx ec-unrelated ec "${aes_256[@]}"

# As Windows: a friendly name, a provider's name, and a key usage inside the PKCS#8 key.
cat chain/rsa-root.pem chain/rsa-intermediate.pem > "$work/others.pem"
export_pfx rsa-windows rsa "${triple_des[@]}" -iter 2000 -keyex -name 'shop key' \
    -CSP 'Microsoft Enhanced RSA and AES Cryptographic Provider' -LMK
# Cheap to open, for tests that open it thousands of times.
cat chain/ec-intermediate.pem > "$work/others.pem"
export_pfx ec-cheap ec "${aes_256[@]}" -iter 1 -nomaciter
cat chain/rsa-intermediate.pem chain/rsa-root.pem > "$work/others.pem"
export_pfx rsa-cheap rsa "${aes_256[@]}" -iter 1 -nomaciter

# What must be refused.
refused() {
    openssl pkcs12 -export -inkey "$work/ec-leaf.key" -in chain/ec-leaf.pem "${@:2}" -out "pfx/refused-$1.pfx" 2> "$work/log"
}
refused password -passout pass:secret "${aes_256[@]}"
refused password-no-mac -passout pass:secret "${aes_256[@]}" -nomac
refused rc4 -passout pass: -legacy -keypbe PBE-SHA1-RC4-128 -certpbe PBE-SHA1-3DES
refused camellia -passout pass: -keypbe CAMELLIA-256-CBC -certpbe AES-256-CBC
refused iterations -passout pass: -keypbe AES-256-CBC -certpbe NONE -iter 2000000 -nomac
refused mac-iterations -passout pass: -keypbe NONE -certpbe NONE -iter 5000000
openssl pkcs12 -export -passout pass: -nokeys -in chain/ec-leaf.pem -out pfx/refused-no-key.pfx
openssl pkcs12 -export -passout pass: -nocerts -inkey "$work/ec-leaf.key" -out pfx/refused-no-certificate.pfx

# Public keys as Key Vault has them.
public() { openssl pkey -in "$work/$1.key" -pubout -out "keys/$2.pem"; }
key rsa-3072 -algorithm RSA -pkeyopt rsa_keygen_bits:3072
key rsa-4096 -algorithm RSA -pkeyopt rsa_keygen_bits:4096
key p-256k -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1
public rsa-leaf rsa-2048
public rsa-3072 rsa-3072
public rsa-4096 rsa-4096
public ec-leaf p-256
public p384-leaf p-384
public p521-leaf p-521
public p-256k p-256k

# PEM bundles as people import them.
{ cat "$work/rsa-leaf.key" chain/rsa-leaf.pem chain/rsa-intermediate.pem; } > pfx/bundle-pkcs8.pem
{ openssl pkey -in "$work/rsa-leaf.key" -traditional; cat chain/rsa-leaf.pem; } > pfx/bundle-pkcs1.pem
{ openssl pkcs12 -in pfx/ec-aes-256.pfx -passin pass: -nodes; } > pfx/bundle-bag-attributes.pem
