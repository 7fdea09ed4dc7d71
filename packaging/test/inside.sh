#!/bin/bash
# The life of the packages on a clean Debian, from installing to purging. It runs as root in a
# container that systemd has booted; `cargo xtask package-test` makes one.
#
# Prints a line for each check that passes, and ends at the first that fails.
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

# as_anna COMMAND: runs it in a login of anna by ssh.
as_anna() {
    ssh -o LogLevel=ERROR -o BatchMode=yes -o StrictHostKeyChecking=accept-new -i /root/login anna@localhost "$1"
}

# All files of /etc but those that any installation changes, and those of udev, which is installed too.
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
# sshd -t also prints that the private half of the key is not in the file.
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

# --- the authority, a package of its own ------------------------------------------------------
# as_ca COMMAND...: as the user of the authority, as sudo -u does it.
as_ca() {
    runuser -u tpmssh-ca -- env HOME=/var/lib/tpmssh-ca "$@"
}
etc >/tmp/etc-without-ca
holds "the authority installs" apt-get -qq -y install /root/tpmssh-ca.deb
holds "its files are those of the package" dpkg --verify tpmssh-ca
for unit in /usr/lib/systemd/system/tpmssh-ca{,-agent}.service; do
    holds "systemd takes $(basename "$unit")" systemd-analyze --man=no verify "$unit"
    not_said tpmssh
    holds "$(basename "$unit") is hardened" systemd-analyze security --offline=true --threshold=25 "$unit"
    grep 'Overall exposure' /tmp/last
done
holds "its directory is its own" test "$(stat -c '%U:%G %a' /var/lib/tpmssh-ca)" = 'tpmssh-ca:tpmssh-ca 700'
holds "its user may use the TPM" bash -c 'id -nG tpmssh-ca | grep -qw tss'
holds "it does not run unasked" bash -c '! systemctl is-enabled tpmssh-ca.service && ! pgrep -x tpmssh-ca'
holds "without an authority the service does not start, and does not fail" systemctl start tpmssh-ca.service
fails "it is not up" 3 systemctl is-active tpmssh-ca.service
said inactive
test -s "$(dpkg -L tpmssh-ca | grep 'man8/tpmssh-ca.8.gz$')" || fail "no manual page of the authority"
test -s "$(dpkg -L tpmssh-ca | grep 'man8/tpmssh-ca-device-revoke.8.gz$')" || fail "no manual page of a command"
bash -c '. /usr/share/bash-completion/completions/tpmssh-ca && complete -p tpmssh-ca' >/tmp/last 2>&1 || fail "no completions"
holds "a simulated TPM" as_ca tpmssh simulator start
state=/var/lib/tpmssh-ca
holds "tpmssh-ca init" as_ca tpmssh-ca init --audience https://ca.example.com/ --make-keys --first-host localhost
said "Recovery code (SO PIN): "
said "next: sudo systemctl enable --now tpmssh-ca.service"
enrol=$(grep '^sudo tpmssh host setup --enroll http://127.0.0.1:8700/ ' /tmp/last) || fail "no line for the first host"
holds "the service starts" systemctl enable --now tpmssh-ca.service
wait_for curl -fsS http://127.0.0.1:8700/readyz
# shellcheck disable=SC2086 # It is printed as words.
holds "the first host comes in by the line that init has printed" ${enrol#sudo }
holds "sshd reads it" systemctl reload ssh
printf '@cert-authority * %s\n' "$(cat $state/host-ca.pub)" >/tmp/known-ca
believed() {
    ssh -F /dev/null -o UserKnownHostsFile=/tmp/known-ca -o BatchMode=yes -o StrictHostKeyChecking=yes \
        -o 'HostKeyAlgorithms=*-cert-v01@openssh.com' -i /root/login anna@localhost true
}
wait_for believed
holds "a login to a host that the authority certifies" believed
holds "the host renews" tpmssh host renew --all
said "has a certificate for localhost until"
holds "the first host is removed" tpmssh host remove

# The PIN of the token as a credential: as it is, and encrypted.
install -d /etc/tpmssh-ca /etc/systemd/system/tpmssh-ca.service.d
mv $state/ca-pin /etc/tpmssh-ca/ca-pin
chown root: /etc/tpmssh-ca/ca-pin
sed -i 's,^pin = .*,pin = "ca-pin",' $state/policy.toml
fails "without its PIN the node is not ready" 22 bash -c 'systemctl restart tpmssh-ca.service && curl -fsS http://127.0.0.1:8700/readyz'
for setting in LoadCredential=ca-pin:/etc/tpmssh-ca/ca-pin LoadCredentialEncrypted=ca-pin:/etc/tpmssh-ca/ca-pin.cred; do
    case $setting in
    LoadCredentialEncrypted*)
        holds "the PIN is encrypted" systemd-creds encrypt --name=ca-pin /etc/tpmssh-ca/ca-pin /etc/tpmssh-ca/ca-pin.cred
        rm /etc/tpmssh-ca/ca-pin
        ;;
    esac
    printf '[Service]\n%s\n' "$setting" >/etc/systemd/system/tpmssh-ca.service.d/pin.conf
    systemctl daemon-reload
    holds "the node starts with ${setting%%=*}" systemctl restart tpmssh-ca.service
    wait_for curl -fsS http://127.0.0.1:8700/readyz
    holds "and has the PIN" curl -fsS http://127.0.0.1:8700/readyz
done
as_ca tpmssh-ca join-token new --role user --name anna >/home/anna/token || fail "no join token"
chown anna: /home/anna/token
holds "anna asks" as_anna 'tpmssh prove --token ssh -n anna --audience https://ca.example.com/ --join-token token -o request.json'
holds "is asked" as_anna 'curl -fsS --data-binary @request.json http://127.0.0.1:8700/v1/enroll/begin >challenge.json'
holds "proves" as_anna 'tpmssh prove --token ssh --request request.json --challenge challenge.json --pin-file ~/pin -o proof.json'
holds "and is certified" as_anna 'curl -fsS --data-binary @proof.json http://127.0.0.1:8700/v1/enroll/finish'
said ecdsa-sha2-nistp256-cert-v01@openssh.com
holds "a reload takes the policy" systemctl reload tpmssh-ca.service
holds "a restart keeps what it knows" systemctl restart tpmssh-ca.service
wait_for curl -fsS http://127.0.0.1:8700/healthz
holds "anna's machine is known" as_ca tpmssh-ca device list
said anna
device=$(awk '$3 == "anna" { print $1 }' /tmp/last)
holds "and can be revoked" as_ca tpmssh-ca device revoke "$device"
fails "it gets nothing any more" 22 curl -fsS --data-binary @/home/anna/request.json http://127.0.0.1:8700/v1/enroll/begin
said 403
holds "the audit log is whole" as_ca tpmssh-ca audit verify

# The agent, which other keys of an authority can be in.
tcti=$(as_ca tpmssh simulator status --json | sed -n 's/.*"tcti": *"\([^"]*\)".*/\1/p')
install -d /etc/systemd/system/tpmssh-ca-agent.service.d
printf '[Service]\nEnvironment="TPMSSH_TCTI=%s"\n' "$tcti" >/etc/systemd/system/tpmssh-ca-agent.service.d/simulator.conf
systemctl daemon-reload
holds "the agent of an authority's keys" systemctl enable --now tpmssh-ca-agent.service
wait_for test -S /run/tpmssh-ca/agent.sock
install -m 600 -o tpmssh-ca -g tpmssh-ca <(echo 5555-authority) $state/pin
holds "a token in it" as_ca env TPMSSH_STORE=$state/keys tpmssh token init other --pin-file $state/pin --so-pin-out $state/code
holds "gets its PIN" as_ca env TPMSSH_STORE=$state/keys tpmssh unlock --token other --socket /run/tpmssh-ca/agent.sock --pin-file $state/pin --time 8h
holds "the authority is removed" apt-get -qq -y remove tpmssh-ca
said "the authority stays in /var/lib/tpmssh-ca"
holds "nothing of it runs" bash -c '! pgrep -u tpmssh-ca -x "tpmssh-ca|tpmssh"'
holds "it is purged" apt-get -qq -y purge tpmssh-ca
rm -r /etc/systemd/system/tpmssh-ca{,-agent}.service.d /etc/tpmssh-ca
etc >/tmp/etc-with-ca-gone
holds "/etc is as before the authority" diff /tmp/etc-without-ca /tmp/etc-with-ca-gone
test -s /var/lib/tpmssh-ca/registry.db || fail "the registry is gone"
as_ca tpmssh simulator stop >/dev/null 2>&1

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
find / -xdev -name '*tpmssh*' ! -path '/proc/*' ! -path '/root/tpmssh*.deb' ! -path '/var/lib/tpmssh-ca/*' ! -path '/var/lib/apt/*' \
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
/var/lib/tpmssh-ca
STORES
holds "nothing is left but the stores" bash -c '! grep -vxFf /tmp/stores /tmp/left'
test -s /home/anna/.local/share/tpmssh/store.db || fail "the keys are gone"
echo "$passed passed, 0 failed"
