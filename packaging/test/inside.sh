#!/bin/bash
# The life of the package on a clean Debian, from installing to purging. It runs as root in a
# container that systemd has booted; `cargo xtask package-test` makes one.
#
# Prints a line for each thing that holds, and ends at the first that does not.
set -uo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 HOME=/root
deb=/root/tpmssh.deb
passed=0

fail() {
    echo "FAILED: $*"
    tail -n 40 /tmp/last 2>/dev/null
    exit 1
}

# holds NAME COMMAND...: the command succeeds.
holds() {
    local name=$1
    shift
    "$@" >/tmp/last 2>&1 </dev/null || fail "$name: $* ($?)"
    echo "ok: $name"
    passed=$((passed + 1))
}

# fails NAME CODE COMMAND...: the command ends with this exit code.
fails() {
    local name=$1 code=$2
    shift 2
    "$@" >/tmp/last 2>&1 </dev/null
    local found=$?
    [ "$found" = "$code" ] || fail "$name: $* ended with $found and not $code"
    echo "ok: $name"
    passed=$((passed + 1))
}

# said TEXT: the last command printed it.
said() {
    grep -qF -- "$1" /tmp/last || fail "not said: $1"
}

not_said() {
    ! grep -qF -- "$1" /tmp/last || fail "said: $1"
}

# as_anna COMMAND: in a login of her own by ssh, as people have them.
as_anna() {
    ssh -o LogLevel=ERROR -o BatchMode=yes -o StrictHostKeyChecking=accept-new -i /root/login anna@localhost "$1"
}

# All files of /etc but those that any installation changes, and those of udev, which comes along.
etc() {
    find /etc -type f ! -path '/etc/ld.so.cache' ! -path '/etc/passwd*' ! -path '/etc/group*' \
        ! -path '/etc/shadow*' ! -path '/etc/gshadow*' ! -path '/etc/sub*' ! -name '.pwd.lock' \
        ! -path '*udev*' -exec sha256sum {} + | sort -k 2
    find /etc -type l ! -path '*udev*' -printf '%p -> %l\n' | sort
}

wait_for() {
    for _ in $(seq 100); do
        "$@" >/tmp/last 2>&1 </dev/null && return 0
        sleep 0.1
    done
    fail "this never held: $*"
}

# A user with a PIN in a file, who logs in by ssh with a key in a file.
useradd --create-home --shell /bin/bash anna
ssh-keygen -q -t ed25519 -N '' -f /root/login
install -d -m 700 -o anna -g anna /home/anna/.ssh
install -m 600 -o anna -g anna /root/login.pub /home/anna/.ssh/authorized_keys
install -m 600 -o anna -g anna <(echo 7777-correct) /home/anna/pin
install -m 700 -o anna -g anna <(printf '#!/bin/sh\ncat ~/pin\n') /home/anna/askpass
# Debian's package has its own umask and greeting; neither matters here.
systemctl start ssh || fail "sshd does not start"
wait_for as_anna true
etc >/tmp/etc-before

# --- installing -------------------------------------------------------------------------------
holds "the package installs with what it depends on" apt-get -qq -y install "$deb"
holds "the installed files are those of the package" dpkg --verify tpmssh
holds "the program says its version" tpmssh --version
said "tpmssh 0."
for unit in /usr/lib/systemd/system/tpmssh-host.{socket,service}; do
    holds "systemd takes $(basename "$unit")" systemd-analyze --man=no verify "$unit"
    not_said tpmssh
done
for unit in /usr/lib/systemd/user/tpmssh-agent.{socket,service}; do
    holds "systemd takes $(basename "$unit")" as_anna "systemd-analyze --user --man=no verify $unit"
    not_said tpmssh
done
holds "the service of the host keys is hardened" systemd-analyze security --offline=true \
    --threshold=25 /usr/lib/systemd/system/tpmssh-host.service
grep 'Overall exposure' /tmp/last
holds "the agent is hardened" as_anna \
    'systemd-analyze --user security --offline=true --threshold=70 /usr/lib/systemd/user/tpmssh-agent.service'
grep 'Overall exposure' /tmp/last
holds "nothing runs that nobody asked for" \
    bash -c '! systemctl is-enabled tpmssh-host.socket && ! pgrep tpmssh'
module=$(dpkg -L tpmssh | grep 'libtpmssh_pkcs11.so$')
holds "p11-kit knows the module" grep -qx "module: $module" /usr/share/p11-kit/modules/tpmssh.module
test -s "$(dpkg -L tpmssh | grep 'man1/tpmssh.1.gz$')" || fail "no manual page"

# --- a first key ------------------------------------------------------------------------------
fails "without a TPM doctor says so" 5 as_anna 'tpmssh doctor'
holds "a key, on a simulated TPM" as_anna 'tpmssh setup --simulator --pin-file ~/pin'
said ecdsa-sha2-nistp256
holds "doctor finds the module" as_anna 'tpmssh doctor'
as_anna 'tpmssh export' >>/home/anna/.ssh/authorized_keys
ask='SSH_ASKPASS=~/askpass SSH_ASKPASS_REQUIRE=force'
options='-o IdentityAgent=none -o StrictHostKeyChecking=accept-new -F /dev/null'
holds "a login by the module" as_anna "$ask ssh $options -I $module localhost echo in"
said in

# --- the agent by the installed units ---------------------------------------------------------
holds "agent install" as_anna 'tpmssh agent install --profile'
test ! -e /home/anna/.config/systemd/user/tpmssh-agent.service || fail "units beside the package's"
holds "the package's unit is the one" as_anna 'systemctl --user cat tpmssh-agent.socket'
said /usr/lib/systemd/user/tpmssh-agent.socket
holds "a new login finds the agent" as_anna 'bash -lc "ssh-add -l"'
said ECDSA
holds "and so does the user manager" as_anna 'systemctl --user show-environment'
said SSH_AUTH_SOCK=/run/user/
holds "one PIN for a session" as_anna 'tpmssh unlock --pin-file ~/pin'
holds "a login by the agent" as_anna 'bash -lc "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new localhost echo in"'
said in
holds "the log has it" as_anna 'tpmssh agent log'
said ssh

# An agent that cannot start does not close the socket for good.
as_anna 'cp ~/.config/tpmssh/config.toml ~/keep; printf "\n[agent]\npin = \"nonsense\"\n" >>~/.config/tpmssh/config.toml'
as_anna 'systemctl --user stop tpmssh-agent.service'
for _ in $(seq 8); do
    as_anna 'timeout 1 bash -lc "ssh-add -l"' >/dev/null 2>&1
done
holds "the socket of an agent that does not start stays" as_anna 'systemctl --user is-active tpmssh-agent.socket'
as_anna 'mv ~/keep ~/.config/tpmssh/config.toml'
holds "and serves when the configuration is whole again" as_anna 'timeout 60 bash -lc "ssh-add -l"'
said ECDSA

# --- git --------------------------------------------------------------------------------------
holds "a repository" as_anna 'git init -q repo && cd repo && git config user.name Anna && git config user.email anna@example.org && tpmssh git setup --agent'
as_anna 'tpmssh unlock --pin-file ~/pin'
holds "git commit -S" as_anna 'cd repo && SSH_AUTH_SOCK=/run/user/$(id -u)/tpmssh/agent.sock git commit -q -S --allow-empty -m signed'
holds "git believes it" as_anna 'cd repo && git verify-commit HEAD'

# --- host keys --------------------------------------------------------------------------------
etc >/tmp/etc-installed
tpmssh simulator start >/tmp/last 2>&1 || fail "no simulator for root"
fails "host setup is root's" 1 as_anna 'tpmssh host setup'
said "only root can do this"
holds "host setup" tpmssh host setup
# It says of the key that the private half is elsewhere.
holds "sshd takes it" sshd -t
not_said UNPROTECTED
holds "sshd reads it" systemctl reload ssh
wait_for ssh-keyscan -t ecdsa localhost
holds "host check" tpmssh host check
algorithms=$(tpmssh host status | grep -o 'ecdsa-sha2-nistp[0-9]*\|ssh-ed25519\|ssh-rsa' | sort -u)
for algorithm in ${algorithms/ssh-rsa/rsa-sha2-512}; do
    holds "host key $algorithm" ssh -q -F /dev/null -o UserKnownHostsFile="/tmp/known-$algorithm" -o BatchMode=yes \
        -o HostKeyAlgorithms="$algorithm" -o StrictHostKeyChecking=accept-new -i /root/login anna@localhost true
done
systemctl show -p MainPID tpmssh-host.service | grep -qv '=0$' || fail "the service does not run"
holds "host remove" tpmssh host remove
holds "sshd has its keys in files" ssh -q -F /dev/null -o UserKnownHostsFile=/tmp/known2 \
    -o StrictHostKeyChecking=accept-new -i /root/login anna@localhost true
etc >/tmp/etc-removed
holds "/etc is as before host setup" diff /tmp/etc-installed /tmp/etc-removed

# --- the write-up of 2013, with pkcs11-tool and OpenSSH ---------------------------------------
holds "tpm info" as_anna 'tpmssh tpm info'
holds "tpm selftest" as_anna 'tpmssh tpm selftest'
holds "token init" as_anna 'echo 87654321 >sopin; chmod 600 sopin; tpmssh token init --label write-up --pin-file ~/pin --so-pin-file ~/sopin'
tool="pkcs11-tool --module $module --token-label write-up --pin \$(cat ~/pin)"
holds "an RSA key" as_anna "$tool --keypairgen -d 01 -a write-up --key-type rsa:2048"
holds "is listed" as_anna "$tool -O"
said write-up
holds "ssh-keygen -D" as_anna "ssh-keygen -D $module"
said ssh-rsa
as_anna "ssh-keygen -D $module" >>/home/anna/.ssh/authorized_keys
holds "PKCS11Provider" as_anna "$ask ssh $options -o PKCS11Provider=$module localhost echo in"
said in
holds "ssh-add -s and -e" as_anna "eval \$(ssh-agent) >/dev/null; $ask ssh-add -s $module && ssh-add -l && ssh-add -e $module; kill \$SSH_AGENT_PID"

# --- removing ---------------------------------------------------------------------------------
holds "host keys again" tpmssh host setup
holds "agent uninstall" as_anna 'tpmssh agent uninstall'
test ! -e /home/anna/.config/environment.d || fail "environment.d stays"
! grep -q tpmssh /home/anna/.profile || fail "the profile has a line of ours"
tpmssh simulator stop >/dev/null 2>&1
as_anna 'tpmssh simulator stop' >/dev/null 2>&1
holds "the package is removed" apt-get -qq -y remove tpmssh
said /var/lib/tpmssh
holds "sshd runs without it" ssh -q -F /dev/null -o UserKnownHostsFile=/tmp/known3 \
    -o StrictHostKeyChecking=accept-new -i /root/login anna@localhost true
holds "the package is purged" apt-get -qq -y purge tpmssh
etc >/tmp/etc-after
holds "/etc is as before the package" diff /tmp/etc-before /tmp/etc-after
find / -xdev -name '*tpmssh*' ! -path '/proc/*' ! -path '/root/tpmssh.deb' ! -path '/var/lib/apt/*' \
    ! -path '/var/cache/*' ! -path '/tmp/*' | sort >/tmp/left
cat >/tmp/stores <<'STORES'
/home/anna/.config/tpmssh
/home/anna/.local/share/tpmssh
/home/anna/.local/share/tpmssh-simulator
/home/anna/.local/state/tpmssh
/home/anna/.ssh/tpmssh
/root/.config/tpmssh
/root/.local/share/tpmssh-simulator
/var/lib/tpmssh
STORES
holds "nothing is left but the stores" bash -c '! grep -vxFf /tmp/stores /tmp/left'
test -s /home/anna/.local/share/tpmssh/store.db || fail "the keys are gone"
echo "$passed passed, 0 failed"
