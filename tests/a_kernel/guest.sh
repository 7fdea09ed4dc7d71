# tests/a_kernel.rs runs this in its virtual machine, as root, with busybox's shell.
#
# Each step prints its name. If it fails, it prints the program's output and "FAILED", and ends the
# script. `$M` is the module, `$PIN` a file with the PIN.

M=/usr/lib/libtpmssh_pkcs11.so
PIN=/root/pin
umask 077
# A cheap key derivation: the processor is emulated, and the tokens protect nothing.
export TPMSSH_TEST_KDF=cheap
echo "correct horse" >$PIN
export XDG_RUNTIME_DIR=/run SSH_AUTH_SOCK=/run/tpmssh/agent.sock

step() {
    echo "step: $1"
}

# must CODE COMMAND...: the command ends with this exit code. Its output stays in /root/out.
must() {
    code=$1
    shift
    "$@" >/root/out 2>&1 </dev/null
    got=$?
    [ $got = "$code" ] || failed "exit code $got, not $code: $*"
}

says() {
    grep -q -- "$1" /root/out || failed "it does not say \"$1\""
}

failed() {
    cat /root/out
    echo "agent at $SSH_AUTH_SOCK; the log of tpmssh's:"
    tail -n 5 /root/agent.log
    echo "FAILED: $1"
    poweroff -f
}

sign() {
    must "$1" ssh-keygen -q -Y sign -f /root/key.pub -n kernel /root/data
    rm -f /root/data.sig.old
    [ "$1" != 0 ] || mv /root/data.sig /root/sig
}

# Signs with the module, in a new process.
module_sign() {
    TPMSSH_PIN=$(cat $PIN) pkcs11-tool --module $M --login --pin env:TPMSSH_PIN --sign \
        -m ECDSA-SHA256 --id "$(cat /root/id)" -i /root/data -o "$1" >"$1.log" 2>&1
}

# Sends a command, in hexadecimal digits, to the open /dev/tpm0, and prints its response code.
raw() {
    echo "$1" | xxd -r -p >/root/command
    cat /root/command >&3
    dd bs=4096 count=1 <&3 2>/dev/null | xxd -p | head -n 1 | cut -c 13-20
}

step "the kernel's resource manager is found without being told"
must 0 tpmssh tpm info --json
says '"emulated": true'
must 0 tpmssh tpm selftest

step "a token with a PIN counter is made, and keys in it"
must 0 tpmssh token init --label work --pin-file $PIN
must 0 tpmssh keygen --label first --pin-file $PIN
must 0 tpmssh keygen -t rsa --label slow --pin-file $PIN
must 0 tpmssh list-objects
must 0 ssh-keygen -D $M
says ecdsa-sha2-nistp256
grep ecdsa /root/out >/root/key.pub
must 0 pkcs11-tool --module $M -O
sed -n 's/ *ID: *//p' /root/out | head -n 1 >/root/id
echo "some data" >/root/data

step "a wrong PIN is one try"
echo "wrong" >/root/wrong
must 3 tpmssh keygen --label no --pin-file /root/wrong
says "2 tries left"

step "doctor finds all in order, and the manager missing where it is"
must 0 tpmssh doctor --pin-file $PIN
says "ok       resource manager      the kernel's"
says "ok       PKCS#11 module        $M"
says "2 keys, loaded and whole"
must 0 tpmssh --tcti device:/dev/tpm0 doctor
says "warning  resource manager      none: /dev/tpm0 takes one program at a time"

step "a proof that a key cannot leave this TPM"
# Answers the challenge with the options that are given, and has the proof checked.
prove() {
    must 0 tpmssh prove first -o /root/request
    must 0 tpmssh ca challenge /root/request -o /root/challenge
    must 0 tpmssh prove --request /root/request --challenge /root/challenge -o /root/proof "$@"
    must 0 tpmssh verify-proof /root/proof --any-tpm --require-wall counter
    says "counted by the chip, for this token alone"
}
prove --pin-file $PIN

step "a cold signature by the module"
module_sign /root/s || failed "$(cat /root/s.log)"

step "four processes sign at once, twice each"
for i in 1 2 3 4; do
    (for j in 1 2; do module_sign /root/p$i || exit 1; done) &
    pids="$pids $!"
done
for pid in $pids; do
    wait "$pid" || failed "$(cat /root/p?.log)"
done

step "programs that are killed leave the chip in order"
for i in 2 4 6; do
    (module_sign /root/k) &
    pid=$!
    sleep 0.0$i
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
module_sign /root/s || failed "$(cat /root/s.log)"

step "an agent signs with a key that stays loaded"
# Whether an agent listens at a socket, which is there a moment before that.
answers() {
    SSH_AUTH_SOCK=$1 ssh-add -l >/dev/null 2>&1
    [ $? -ne 2 ]
}
start_agent() {
    tpmssh agent >/root/agent.log 2>&1 &
    agent=$!
    for i in $(seq 100); do
        answers $SSH_AUTH_SOCK && break
        sleep 0.05
    done
}
start_agent
must 0 tpmssh unlock --pin-file $PIN
must 0 ssh-add -L
says ecdsa-sha2-nistp256
sign 0
sign 0
must 0 sh -c 'ssh-keygen -Y check-novalidate -n kernel -s /root/sig </root/data'

step "the agent answers for a proof, without a second PIN"
prove

step "a chip that others have filled is an error, and no longer one when they are gone"
exec 3<>/dev/tpm0
for i in 1 2 3; do
    code=$(raw 8002000000430000013140000007000000094000000900000100000004000000000\
01a0023000b00030472000000060080004300100003001000000000000000000000)
    [ "$code" = 00000000 ] || failed "TPM2_CreatePrimary: $code"
done
sign 255
for handle in 80000000 80000001 80000002; do
    code=$(raw 80010000000e00000165$handle)
    [ "$code" = 00000000 ] || failed "TPM2_FlushContext: $code"
done
exec 3>&-
sign 0

step "/dev/tpm0 without the resource manager serves beside it"
TPMSSH_TCTI=device:/dev/tpm0 module_sign /root/s || failed "$(cat /root/s.log)"
sign 0

step "OpenSSH's agent signs with the module"
printf '#!/bin/sh\nexec cat %s\n' $PIN >/root/askpass
chmod 700 /root/askpass
must 0 ssh-agent -a /run/openssh.sock -P "$M"
host=$(sed -n 's/.*SSH_AGENT_PID=\([0-9]*\);.*/\1/p' /root/out)
SSH_AUTH_SOCK=/run/openssh.sock SSH_ASKPASS=/root/askpass SSH_ASKPASS_REQUIRE=force must 0 ssh-add -s $M
SSH_AUTH_SOCK=/run/openssh.sock sign 0

step "a device node that goes and comes back costs no login"
mv /dev/tpmrm0 /dev/away
must 5 tpmssh tpm info
# Both agents keep the device open.
sign 0
SSH_AUTH_SOCK=/run/openssh.sock sign 0
mv /dev/away /dev/tpmrm0
must 0 tpmssh tpm info
sign 0
SSH_AUTH_SOCK=/run/openssh.sock sign 0

# As a user, whose agent finds the device again: see tpms() in crates/agent/src/machine/harden.rs.
step "a driver that is unbound and bound again costs no login"
anna() {
    su -s /bin/sh anna -c "cd && export XDG_RUNTIME_DIR=/run/anna && $*"
}
mkdir -p /home/anna /run/anna
cp /root/data $PIN /root/askpass /home/anna/
sed -i 's|/root/|/home/anna/|' /home/anna/askpass
chown -R anna /home/anna /run/anna
chmod 755 /home /run
chmod 666 /dev/tpmrm0
# anna_signs CODE SOCKET: signs through the agent at SOCKET, which must end with this exit code.
anna_signs() {
    rm -f /home/anna/data.sig
    must "$1" anna "SSH_AUTH_SOCK=$2 ssh-keygen -q -Y sign -f key.pub -n kernel data"
}
must 0 anna tpmssh token init --label hers --pin-file pin
must 0 anna tpmssh keygen --label hers --pin-file pin
must 0 anna tpmssh export
cp /root/out /home/anna/key.pub
chmod 644 /home/anna/key.pub
anna "exec tpmssh agent --socket /run/anna/agent" >/root/anna.log 2>&1 &
for i in $(seq 100); do
    answers /run/anna/agent && break
    sleep 0.05
done
must 0 anna "ssh-agent -a /run/anna/openssh -P $M"
must 0 anna "SSH_AUTH_SOCK=/run/anna/openssh SSH_ASKPASS=/home/anna/askpass SSH_ASKPASS_REQUIRE=force ssh-add -s $M"
must 0 anna "tpmssh unlock --pin-file pin --socket /run/anna/agent"
anna_signs 0 /run/anna/agent
anna_signs 0 /run/anna/openssh
# DeviceAllow=char-tpm in tpmssh-host.service needs this name in /proc/devices.
grep -q " tpm$" /proc/devices || failed "no devices of the group tpm"
driver=$(ls -d /sys/bus/*/drivers/tpm_tis | head -n 1)
chip=$(basename "$(find $driver/ -type l -name 'MSFT*' | head -n 1)")
echo "$chip" >$driver/unbind || failed "no driver to unbind: $driver $chip"
must 5 tpmssh tpm info
says "no TPM found: no device matches /dev/tpmrm"
anna_signs 255 /run/anna/agent
anna_signs 255 /run/anna/openssh
echo "$chip" >$driver/bind || failed "the driver does not come back"
[ -e /dev/tpmrm1 ] && [ ! -e /dev/tpmrm0 ] || failed "it has no other number"
chmod 666 /dev/tpmrm1
must 0 tpmssh tpm info
says "connection        device:/dev/tpmrm1"
must 0 tpmssh doctor --pin-file $PIN
says "ok       access                device:/dev/tpmrm1 (default)"
must 5 tpmssh --tcti device:/dev/tpmrm0 tpm info
says "no TPM at device:/dev/tpmrm0: No such file"
anna_signs 0 /run/anna/agent
anna_signs 0 /run/anna/openssh
must 0 anna tpmssh agent status --socket /run/anna/agent
says "device:/dev/tpmrm1"
SSH_AUTH_SOCK=/run/openssh.sock sign 0
# An agent that root started without a unit can use only the nodes that existed when it started.
sign 255
kill $agent
wait $agent
start_agent
must 0 tpmssh unlock --pin-file $PIN
sign 0

# To memory, where QEMU's firmware starts the TPM again (TPM2_Startup(STATE)). It does not wake from
# "freeze" by the clock.
step "a machine that sleeps ends the agent's logins, and keeps the module's and those without a PIN"
grep -q deep /sys/power/mem_sleep || failed "this kernel cannot sleep to memory"
must 0 tpmssh token init --label bare --pin-wall none
must 0 tpmssh --token bare keygen --label bare
must 0 tpmssh export bare
cp /root/out /root/bare.pub
sign_bare() {
    must 0 ssh-keygen -q -Y sign -f /root/bare.pub -n kernel /root/data
    rm /root/data.sig
}
sign_bare
anna_signs 0 /run/anna/openssh
echo 0 >/sys/class/rtc/rtc0/wakealarm
echo +3 >/sys/class/rtc/rtc0/wakealarm
echo mem >/sys/power/state || failed "it does not sleep"
[ "$(dmesg | grep -c "suspend exit")" = 1 ] || failed "it did not sleep"
anna_signs 0 /run/anna/openssh
anna_signs 0 /run/anna/openssh
sign_bare
sign 255
grep -q 'sign "first": cannot get the PIN: no way to ask' /root/agent.log || failed "it does not ask"
must 0 tpmssh --token work unlock --pin-file $PIN
sign 0
anna_signs 255 /run/anna/agent
must 0 anna "tpmssh unlock --pin-file pin --socket /run/anna/agent"
anna_signs 0 /run/anna/agent
must 0 tpmssh token delete bare --yes

step "a cleared TPM is noticed by the agent and by the program, and the store stays"
must 0 tpmssh tpm clear --yes
sign 255
must 6 tpmssh token change-pin --pin-file $PIN --new-pin-file $PIN
must 6 tpmssh doctor
must 0 tpmssh list-objects
says first

step "a new token works with the same agent"
must 0 tpmssh token init --label new --pin-file $PIN
must 0 tpmssh --token new keygen --label second --pin-file $PIN
must 0 tpmssh --token new export
cp /root/out /root/key.pub
must 0 tpmssh --token new unlock --pin-file $PIN
sign 0
kill $agent $host
wait $agent

echo "all steps passed"
