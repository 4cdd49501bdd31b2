#!/usr/bin/perl
# The first program of a machine on which a submission is judged. It does once what the list says, each line an order with its
# fields (labenv/classroom/replay/lay.py), and then becomes the machine's own first program. All fields were looked over there.
use strict;
use warnings;

my ($list, $units) = ('/usr/lib/labenv/replay', '/etc/systemd/system');
my %orders;
for (split /\n/, content($list)) {
    my ($order, @fields) = split /\t/, $_, -1;
    push @{$orders{$order}}, \@fields;
}
unlink $list, $0;

# The image is that of the lab's last stage: what the student has not installed yet, or has removed, goes. All packages are no answer.
if (my %has = map { $_->[0] => 1 } @{$orders{package}}) {
    my @gone = grep { !$has{$_} } content('/var/lib/dpkg/status') =~ /^Package: (\S+)\nStatus: \S+ \S+ installed$/mg;
    system 'dpkg', '--purge', '--no-triggers', '--force-depends', @gone if @gone && @gone < keys %has;
}

# Files that the student removed; what is kept is named, or is the image's own.
my %keep = map { $_ => 1 } map { glob $_->[0] } @{$orders{keep}};
unlink grep { -f && !$keep{$_} } map { glob $_->[0] } @{$orders{sweep}};

# passwd(5), shadow(5), group(5). What the image has stays; of root, the password counts.
my ($passwd, $shadow, $group) = map { content("/etc/$_") } qw(passwd shadow group);
for (@{$orders{group}}) {
    my ($name, $number) = @$_;
    $group .= "$name:x:$number:\n" if $group !~ /^\Q$name\E:|^[^:]*:[^:]*:$number:/m;
}
for (@{$orders{account}}) {
    my ($name, $secret, $uid, $gid, $gecos, $home, $shell, $expires) = @$_;
    my $line = join ':', $name, hash($secret), int(time / 86400), 0, 99999, 7, '', $expires, '';
    if ($passwd =~ /^\Q$name\E:/m) {
        $shadow =~ s/^root:.*$/$line/m if $name eq 'root';
        next;
    }
    next if $passwd =~ /^[^:]*:[^:]*:$uid:/m;
    $passwd .= join(':', $name, 'x', $uid, $gid, $gecos, $home, $shell) . "\n";
    $shadow .= "$line\n";
}
for (@{$orders{join}}) {
    my ($of, $name) = @$_;
    next if $passwd !~ /^\Q$name\E:/m;
    $group =~ s/^(\Q$of\E:[^:\n]*:\d+:)(?!(?:[^\n]*,)?\Q$name\E(?:,|$))([^\n]*)$/$1 . ($2 eq '' ? $name : "$2,$name")/me;
}
put('/etc/passwd', $passwd);
put('/etc/shadow', $shadow);
put('/etc/group', $group);

# A home elsewhere is made if nothing is there; what the image has there is no home.
for (@{$orders{home}}) {
    my ($home, $name, @rights) = @$_;
    my @person = getpwnam $name or next;
    if (!-e $home) {
        system 'mkdir', '-p', $home =~ s{/[^/]+$}{/}r;
        system 'cp', '-r', '/etc/skel', $home;
    } elsif ($home !~ m{^/(root$|home/)}) {
        next;
    }
    system 'chown', '-R', "$person[2]:$person[3]", $home if $home ne '/root';
    own($home, @rights);
}
for (@{$orders{folder}}) {
    my ($folder, @rights) = @$_;
    mkdir $folder;
    own($folder, @rights);
}
own(@$_) for @{$orders{own}};

# What starts at boot, and what is masked: exactly the student's links. Without any, those of the image.
if ($orders{link}) {
    unlink grep { -l } glob "$units/* $units/*.wants/* $units/*.requires/*";
    for (@{$orders{link}}) {
        my ($name, $to) = @$_;
        mkdir "$units/$1" if $name =~ m{^([^/]+)/};
        symlink $to, "$units/$name";
    }
}

# Tables that a program makes from their sources; a source that was left out has none.
for (@{$orders{make}}) {
    my ($made, @command) = @$_;
    system @command if -e $made =~ s/\.\w+$//r && -x $command[0];
}
exec '/usr/local/sbin/init' or die "init: $!\n";

sub own {
    my ($path, $mode, $owner, $of) = @_;
    return if !-e $path || -l $path;
    my $uid = $owner =~ /^\d+$/ ? $owner : getpwnam $owner;
    my $gid = $of =~ /^\d+$/ ? $of : getgrnam $of;
    chown $uid // 0, $gid // 0, $path;
    chmod oct $mode, $path;
}

# A password of the environment comes as it is, after an equals sign: its hash is made here (crypt(5)).
sub hash {
    my ($secret) = @_;
    return $secret if $secret !~ s/^=//;
    my @letters = ('a' .. 'z', 'A' .. 'Z', '0' .. '9', '.', '/');
    return crypt $secret, '$6$' . join('', map { $letters[rand @letters] } 1 .. 16) . '$';
}

sub content {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$in> // '';
}

# In place, so that owner and mode stay.
sub put {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
}
