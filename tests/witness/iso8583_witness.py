"""An independent witness of the ISO 8583 codec: packs and reads messages with pyiso8583.

    iso8583_witness.py pack SEED COUNT [NAME...]    writes messages of its own, one a line
    iso8583_witness.py check                        reads such lines and fails if one is not what the
                                                    library makes

Formats: `cups` and `posp` as they ship; the fields of `cups` as hosts elsewhere pack them: `ebcdic`
(all of it in EBCDIC), `hexmap` (a hexadecimal bitmap), `packed` (digits in BCD, texts in EBCDIC,
binary lengths, a sign before BCD digits). MACs of `ebcdic` and `packed` are eight bytes.

A line is: format, key of the MAC or -, method or -, fields as number=plain separated by blanks
(bytes as number:hex), then | and the frame in hexadecimal, in groups of eight. MACs come from
the package cryptography. Nothing of this repository is imported or read.
"""

import random
import re
import sys

import iso8583
from cryptography.hazmat.primitives.ciphers import Cipher, modes

try:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
except ImportError:
    from cryptography.hazmat.primitives.ciphers.algorithms import TripleDES

PANS = ["4111111111111111", "5555555555554444", "6216261000000000018", "6235240000020757577"]

# Written from the protocol's description, in the library's own terms.
CUPS_VARIABLE = {2: (2, 19), 32: (2, 11), 33: (2, 11), 35: (2, 37), 36: (3, 104), 44: (2, 25),
                 48: (3, 512), 54: (3, 40), 57: (3, 100), 59: (3, 600), 60: (3, 100),
                 61: (3, 200), 62: (3, 200), 63: (3, 512), 100: (2, 11), 102: (2, 28),
                 103: (2, 28), 104: (3, 512), 113: (3, 512), 121: (3, 100), 122: (3, 100),
                 123: (3, 100)}
CUPS_FIXED = {3: 6, 4: 12, 5: 12, 6: 12, 7: 10, 9: 8, 10: 8, 11: 6, 12: 6, 13: 4, 14: 4, 15: 4,
              16: 4, 18: 4, 19: 3, 22: 3, 23: 3, 25: 2, 26: 2, 37: 12, 38: 6, 39: 2, 41: 8,
              42: 15, 43: 40, 49: 3, 50: 3, 51: 3, 53: 16, 70: 3, 90: 42, 128: 8}
POSP_DIGITS = {2: (2, 19), 32: (2, 11), 48: (3, 322), 60: (3, 17), 61: (3, 29)}
POSP_TEXT = {44: (2, 25), 54: (3, 40), 58: (3, 100), 59: (3, 600), 63: (3, 163)}
POSP_FIXED_DIGITS = {3: 6, 4: 12, 11: 6, 12: 6, 13: 4, 14: 4, 15: 4, 25: 2, 26: 2, 53: 16}
POSP_FIXED_TEXT = {37: 12, 38: 6, 39: 2, 41: 8, 42: 15, 43: 40, 49: 3}
TEXT = {"cups": {37, 38, 39, 41, 42, 43, 44, 48, 49, 50, 51, 54, 57, 59, 60, 61, 62, 63, 102, 103,
                 104, 113, 121, 122, 123, 128},
        "posp": {37, 38, 39, 41, 42, 43, 44, 49, 54, 58, 59, 63, 64}}
RAW = {"cups": {52, 55, 96}, "posp": {52, 55, 62}}
# Signed amounts, which the library has no word for: a sign's byte and four of BCD.
SIGNED = 28
ABROAD = ("ebcdic", "hexmap", "packed")
RAW_MAC = ("ebcdic", "packed")
for name in ABROAD:
    TEXT[name], RAW[name] = TEXT["cups"], RAW["cups"]


def field(data, length, maximum, prefix, count="bytes", left=None, right=None):
    # The library counts a length's bytes, and two BCD digits are one.
    length = (length + 1) // 2 if prefix == "bcd" else length
    spec = {"data_enc": data, "len_enc": prefix, "len_type": length, "max_len": maximum,
            "len_count": count, "desc": ""}
    if left is not None:
        spec["left_pad"] = left
    if right is not None:
        spec["right_pad"] = right
    return spec


def abroad(name):
    """The fields of `cups`, packed otherwise."""
    if name == "hexmap":
        spec = spec_of("cups")
        spec["p"] = spec["1"] = field("ascii", 0, 16, "ascii")
        return spec
    text = "cp500"
    lengths = text if name == "ebcdic" else "b"
    spec = {"h": field("ascii", 0, 0, "ascii"), "t": field(text, 0, 4, text),
            "p": field("b", 0, 8, "b"), "1": field("b", 0, 8, "b")}
    for n, maximum in CUPS_FIXED.items():
        if name == "ebcdic" or n in TEXT["cups"]:
            spec[str(n)] = field(text, 0, maximum, text)
        else:
            spec[str(n)] = field("b", 0, maximum, "b", "nibbles", left="0")
    for n, (digits, maximum) in CUPS_VARIABLE.items():
        digits = digits if name == "ebcdic" else digits - 1
        if name == "ebcdic" or n in TEXT["cups"]:
            spec[str(n)] = field(text, digits, maximum, lengths)
        else:
            spec[str(n)] = field("b", digits, maximum, lengths, "nibbles", right="0")
    spec |= {"52": field("b", 0, 8, "b"), "96": field("b", 0, 8, "b"), "128": field("b", 0, 8, "b"),
             "55": field("b", 3 if name == "ebcdic" else 2, 255, lengths)}
    if name == "packed":
        spec[str(SIGNED)] = field("b", 0, 5, "b")
    return spec


def spec_of(name):
    if name in ABROAD:
        return abroad(name)
    if name == "cups":
        spec = {"h": field("ascii", 0, 0, "ascii"), "t": field("ascii", 0, 4, "ascii"),
                "p": field("b", 0, 8, "b"), "1": field("b", 0, 8, "b")}
        spec |= {str(n): field("ascii", d, m, "ascii") for n, (d, m) in CUPS_VARIABLE.items()}
        spec |= {str(n): field("ascii", 0, m, "ascii") for n, m in CUPS_FIXED.items()}
        spec |= {"52": field("b", 0, 8, "b"), "55": field("b", 3, 255, "ascii"),
                 "96": field("b", 0, 8, "b")}
        return spec
    spec = {"h": field("ascii", 0, 0, "ascii"), "t": field("b", 0, 2, "b"),
            "p": field("b", 0, 8, "b"), "1": field("b", 0, 0, "b")}
    for n, (d, m) in POSP_DIGITS.items():
        spec[str(n)] = field("b", d, m, "bcd", "nibbles", right="0")
    for n, (d, m) in POSP_TEXT.items():
        spec[str(n)] = field("ascii", d, m, "bcd")
    spec |= {str(n): field("b", 0, m // 2, "b") for n, m in POSP_FIXED_DIGITS.items()}
    spec |= {str(n): field("ascii", 0, m, "ascii") for n, m in POSP_FIXED_TEXT.items()}
    spec |= {"22": field("b", 0, 3, "b", "nibbles", right="0"),
             "23": field("b", 0, 3, "b", "nibbles", left="0"),
             "35": field("b", 2, 37, "bcd", "nibbles", right="0"),
             "52": field("b", 0, 8, "b"), "55": field("b", 3, 255, "bcd"),
             "62": field("b", 3, 512, "bcd"), "64": field("ascii", 0, 8, "ascii")}
    return spec


def des(key, block, encrypt=True):
    whole = {8: key * 3, 16: key + key[:8], 24: key}[len(key)]
    cipher = Cipher(TripleDES(whole), modes.ECB())
    engine = cipher.encryptor() if encrypt else cipher.decryptor()
    return engine.update(block)


def cbc(key, data):
    data += bytes(-len(data) % 8)
    last = bytes(8)
    for at in range(0, len(data), 8):
        last = des(key, bytes(a ^ b for a, b in zip(last, data[at:at + 8])))
    return last


def ecb(key, data):
    data += bytes(-len(data) % 8)
    total = 0
    for at in range(0, len(data), 8):
        total ^= int.from_bytes(data[at:at + 8], "big")
    text = b"%016X" % total
    first = des(key, text[:8])
    return des(key, bytes(a ^ b for a, b in zip(first, text[8:])))


def cups_text(message_type, fields):
    parts = [message_type]
    for n in (2, 3, 4, 7, 11, 18, 25, 28, 32, 33, 38, 39, 41, 42, 90, 102, 103):
        if n not in fields:
            continue
        value = fields[n]
        if n in CUPS_VARIABLE:
            value = f"{len(value):02}{value}"
        if n == 90:
            value = value[:20]
        value = re.sub("[^A-Z0-9 ,.]", "", value.upper())
        parts.append(re.sub(" +", " ", value.strip()))
    return " ".join(parts).encode()


def frame_of(name, key, method, message_type, fields):
    """The packed message; a MAC is put into its field."""
    spec = spec_of(name)
    mac_field = 64 if name == "posp" else 128
    plain = {"t": message_type}
    for n, value in fields.items():
        plain[str(n)] = value.hex() if isinstance(value, bytes) else value
        if name in ("posp", "packed") and n == 35:
            plain[str(n)] = value.replace("=", "D")
        if name == "packed" and n == SIGNED:
            plain[str(n)] = value[0].encode("cp500").hex() + value[1:]
    if method == "-":
        return bytes(iso8583.encode(plain, spec)[0])
    plain[str(mac_field)] = "0" * (16 if name in RAW_MAC else 8)
    packed = bytes(iso8583.encode(plain, spec)[0])
    covered = cups_text(message_type, fields) if method == "cups" else packed[:-8]
    if method in ("cups", "x99"):
        mac = cbc(key, covered)
    elif method == "ecb":
        mac = ecb(key, covered)
    else:
        last = cbc(key[:8], covered)
        mac = des(key[:8], des(key[8:], last, False))
    fields[mac_field] = mac if name in RAW_MAC else mac[:4].hex().upper()
    plain[str(mac_field)] = mac.hex() if name in RAW_MAC else fields[mac_field]
    return bytes(iso8583.encode(plain, spec)[0])


def draw(chance, name, n, length):
    if name == "packed" and n == SIGNED:
        return chance.choice("CD") + "".join(chance.choice("012") for _ in range(8))
    if n in RAW[name]:
        return chance.randbytes(length)
    if n == 35:
        pan = chance.choice(PANS)
        return f"{pan}=3012201" + "0" * chance.randrange(9)
    if n == 2:
        return chance.choice(PANS)
    if n in TEXT[name]:
        return "".join(chance.choice("ABCXYZabc 019,.-/") for _ in range(length))
    # No run of digits that a card number's check digit could fit by chance.
    return "".join(chance.choice("012") for _ in range(length)) if length < 13 else "1" * length


def pack(seed, count, names):
    chance = random.Random(seed)
    for index in range(count):
        name = names[index % len(names)]
        spec = spec_of(name)
        numbers = sorted(int(n) for n in spec if n.isdigit() and n not in ("1", "64", "128"))
        fields = {}
        for n in (x for x in numbers if chance.random() < 0.4):
            one = spec[str(n)]
            length = one["max_len"]
            if one["len_type"]:
                length = chance.randint(1, min(length, 60))
            elif name == "posp" and n in POSP_FIXED_DIGITS:
                length *= 2
            fields[n] = draw(chance, name, n, length)
        message_type = chance.choice(["0100", "0200", "0210", "0400", "0420", "0800", "0830"])
        method = chance.choice(["-", "cups"] if name == "cups" else ["-", "ecb", "x99", "x919"])
        key = chance.randbytes(16 if method == "x919" else chance.choice([8, 16, 24]))
        frame = frame_of(name, key, method, message_type, fields)
        print(line(name, "-" if method == "-" else key.hex(), method, message_type, fields, frame))


def line(name, key, method, message_type, fields, frame):
    shown = [f"{n}:{v.hex()}" if isinstance(v, bytes) else f"{n}={v.replace(' ', '_')}"
             for n, v in sorted(fields.items())]
    groups = " ".join(frame.hex()[at:at + 8] for at in range(0, len(frame.hex()), 8))
    return " ".join([name, key, method, message_type, *shown, "|", groups])


def check():
    """Reads what the other side packed, and packs it again."""
    count = 0
    for text in sys.stdin:
        head, frame = text.strip().split("|")
        name, key, method, message_type, *words = head.split()
        given = bytes.fromhex(frame)
        spec = spec_of(name)
        decoded, _ = iso8583.decode(given, spec)
        fields = {}
        for word in words:
            n, mark, value = re.fullmatch("([0-9]+)([:=])(.*)", word).groups()
            fields[int(n)] = bytes.fromhex(value) if mark == ":" else value.replace("_", " ")
        mac = fields.pop(64 if name == "posp" else 128, None)
        key = bytes() if key == "-" else bytes.fromhex(key)
        again = frame_of(name, key, method, message_type, fields)
        numbers = {int(n) for n in decoded if n.isdigit() and n != "1"}
        if again != given or numbers != set(fields):
            sys.exit(f"message {count}: the library packs it otherwise")
        if method != "-" and mac != fields[max(fields)]:
            sys.exit(f"message {count}: another MAC")
        count += 1
    print(count)


if __name__ == "__main__":
    if sys.argv[1] == "pack":
        pack(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] or ("cups", "posp", *ABROAD))
    else:
        check()
