#!/bin/bash
# Boot User Mode Linux (Debian's package user-mode-linux: a kernel that runs as an ordinary process) on this machine's
# files, read only, and run tests there in a control group that is handed over as systemd does it.
#   tests/cgroup/boot.sh PYTHON [pytest's arguments]
set -euo pipefail
kernel=${UML:-linux.uml}
command -v "$kernel" >/dev/null || { echo "no $kernel: apt-get install user-mode-linux, or name it by UML="; exit 1; }
work=$(mktemp -d /var/tmp/cgroups.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/disk"

cat >"$work/init" <<INIT
#!/bin/bash
export PATH=$PATH HOME=/run TMPDIR=/run PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t hostfs -o $work/disk none /var/tmp
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/app
cd $PWD
(
    $1 -c 'import os; os.setxattr("/sys/fs/cgroup/app", "user.delegate", b"1")'
    echo \$BASHPID >/sys/fs/cgroup/app/cgroup.procs
    exec $1 -m pytest -p no:cacheprovider --basetemp=/run/pytest ${*:2}
)
echo \$? >/var/tmp/code
$1 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321FEDC)'  # reboot(2): power off
INIT
chmod +x "$work/init"

"$kernel" mem=1200M rootfstype=hostfs rootflags=/ ro init="$work/init" con=null con0=null,fd:1 quiet </dev/null
exit "$(cat "$work/disk/code")"
