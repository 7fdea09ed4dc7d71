# The machine on which the guide's commands run: this one, in namespaces of its own. Nothing that a
# command writes to /etc, /usr, /var/lib, /run, /home or /root gets out of them.
#
# Called with the program, the module, a scratch directory and tpmssh-ca; becomes the shell of the page.
set -e
tpmssh=$1 module=$2 scratch=$3 authority=$4
mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$scratch"
cp "$tpmssh" "$scratch/tpmssh"
cp "$module" "$scratch/module"
cp "$authority" "$scratch/tpmssh-ca"
for dir in etc usr var/lib; do
    mkdir -p "$scratch/upper/$dir" "$scratch/inner/$dir"
    mount -t overlay overlay \
        -o "lowerdir=/$dir,upperdir=$scratch/upper/$dir,workdir=$scratch/inner/$dir" "/$dir"
done
mount -t tmpfs -o mode=755 none /run
mount -t tmpfs -o mode=755 none /home
mount -t tmpfs -o mode=700 none /root
mount -t proc proc /proc
ip link set lo up

install -m 755 "$scratch/tpmssh" "$scratch/tpmssh-ca" /usr/bin
libraries=/usr/lib/$(uname -m)-linux-gnu
install -D -m 644 "$scratch/module" "$libraries/pkcs11/libtpmssh_pkcs11.so"
for file in /usr/share/p11-kit/modules/*; do rm "$file"; done
echo "module: $libraries/pkcs11/libtpmssh_pkcs11.so" >/usr/share/p11-kit/modules/tpmssh.module
printf '#!/bin/sh\nexec "$@"\n' >/usr/local/bin/sudo
printf '#!/bin/sh\nexit 0\n' >/usr/local/bin/systemctl
# A cheap hash: cryptsetup's own takes seconds, and the passwords of tests protect nothing.
if [ -e /usr/sbin/cryptsetup ]; then
    printf '%s\n' '#!/bin/sh' \
        '[ "$1" != luksFormat ] || set -- "$@" --pbkdf pbkdf2 --pbkdf-force-iterations 1000' \
        'exec /usr/sbin/cryptsetup "$@"' >/usr/local/bin/cryptsetup
    chmod 755 /usr/local/bin/cryptsetup
fi
chmod 755 /usr/local/bin/sudo /usr/local/bin/systemctl

# The account at the server, with a password, and a host key. The server is at every address that
# /etc/hosts has for it.
echo 'anna:x:4243:4243::/home/anna:/bin/bash' >>/etc/passwd
echo 'anna:x:4243:' >>/etc/group
echo "anna:$(openssl passwd -6 'old password'):19000:0:99999:7:::" >>/etc/shadow
mkdir -m 700 /home/anna && chown 4243:4243 /home/anna
printf '127.0.0.1 localhost server web1 web2 bastion\n' >/etc/hosts
rm -rf /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d
mkdir -p /etc/ssh/sshd_config.d /run/sshd
for type in ecdsa ed25519; do
    ssh-keygen -q -t "$type" -N '' -f "/etc/ssh/ssh_host_${type}_key"
done
# 2048 bits take a third of the time of the default 3072.
ssh-keygen -q -t rsa -b 2048 -N '' -f /etc/ssh/ssh_host_rsa_key
# Without the slow sntrup761 key exchange, which does not concern tpmssh.
printf '%s\n' 'Include /etc/ssh/sshd_config.d/*.conf' 'UsePAM no' 'MaxStartups 100' \
    'Subsystem sftp internal-sftp' 'KexAlgorithms -sntrup761*' \
    >/etc/ssh/sshd_config
# OpenSSH 9.8 and newer shut out an address that connects often without a login.
if /usr/sbin/sshd -t -o PerSourcePenalties=no 2>/dev/null; then
    echo 'PerSourcePenalties no' >>/etc/ssh/sshd_config
fi
/usr/sbin/sshd
rm -f /etc/ssh/ssh_config /etc/ssh/ssh_config.d/*

# The person at this machine. ssh looks the home up in /etc/passwd. The old key is a file.
sed -i 's,^root:.*,root:x:0:0:root:/home/you:/bin/bash,' /etc/passwd
mkdir -m 700 /home/you /home/you/.ssh /run/user
mkdir -p -m 700 /run/user/you
export HOME=/home/you USER=you LOGNAME=you XDG_RUNTIME_DIR=/run/user/you LC_ALL=C.UTF-8
# /tmp is shared with the real machine.
export TMPDIR=$XDG_RUNTIME_DIR
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
unset TPMSSH_TCTI TPMSSH_STORE XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME
cd /home/you
ssh-keygen -q -t ed25519 -N '' -C 'the old key' -f .ssh/id_ed25519
mkdir -m 700 /home/anna/.ssh
cp .ssh/id_ed25519.pub /home/anna/.ssh/authorized_keys
chown -R 4243:4243 /home/anna/.ssh
printf 'Host *\n    User anna\n' >.ssh/config
# In the order in which ssh itself would add them.
for type in ed25519 ecdsa rsa; do
    for host in localhost server web1 web2 bastion; do
        echo "$host $(cut -d ' ' -f 1,2 "/etc/ssh/ssh_host_${type}_key.pub")"
    done
done >.ssh/known_hosts
ssh-keygen -q -H -f .ssh/known_hosts 2>/dev/null
rm .ssh/known_hosts.old
printf '[user]\n\tname = You\n\temail = you@example.org\n[init]\n\tdefaultBranch = main\n' >.gitconfig
tpmssh simulator start >/dev/null
PS1=$GUIDE_PROMPT PS2= exec bash --norc --noprofile --noediting
