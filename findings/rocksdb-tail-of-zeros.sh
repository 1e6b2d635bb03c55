#!/usr/bin/env bash
# RocksDB: `kTolerateCorruptedTailRecords` forgives a last record that is cut short, and refuses one
# that has its full length and ends in zeros.
#
# The guess: the mode that "tolerates incomplete records in the trailing data of logs" lets a
# database open after a power cut, whatever the unsynced end of its log looks like.
# Seen (rocksdict 0.3.29, which bundles RocksDB): with ten bytes cut off the end, the database opens
# with the four records before. With the same ten bytes zeroed, as a file system leaves blocks that
# were allocated and not written, opening fails with "Corruption: checksum mismatch".
# It matters to whoever keeps a write-ahead log in RocksDB: a healthy machine that lost power may
# not open its log, although nothing that was ever acknowledged is missing.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" -q install rocksdict==0.3.29

"$dir/venv/bin/python" - "$dir" <<'PY'
import glob, os, shutil, sys
from rocksdict import DBRecoveryMode, Options, Rdict, WriteOptions

base = sys.argv[1]

def options():
    options = Options(raw_mode=True)
    options.set_wal_recovery_mode(DBRecoveryMode.tolerate_corrupted_tail_records())
    return options

written = os.path.join(base, "written")
db = Rdict(written, options())
synced = WriteOptions()
synced.sync = True
db.set_write_options(synced)
for number in range(5):
    db[b"key%d" % number] = b"v" * 100
shutil.copytree(written, os.path.join(base, "copy"))  # as a power cut leaves it: not closed

def opened_after(damage):
    damaged = os.path.join(base, damage.__name__)
    shutil.copytree(os.path.join(base, "copy"), damaged)
    [log] = glob.glob(os.path.join(damaged, "*.log"))
    with open(log, "r+b") as file:
        damage(file, os.path.getsize(log))
    try:
        db = Rdict(damaged, options())
    except Exception as error:
        return str(error)
    count = sum(1 for _ in db.items())
    db.close()
    return "opens with %d records" % count

def cut_short(file, size):
    file.truncate(size - 10)

def zeroed(file, size):
    file.seek(size - 10)
    file.write(bytes(10))

seen = {damage.__name__: opened_after(damage) for damage in (cut_short, zeroed)}
for name, result in seen.items():
    print(name + ":", result)
assert seen["cut_short"] == "opens with 4 records", seen
assert "checksum mismatch" in seen["zeroed"], seen
PY
echo "as described"
