# Runs in a machine: as `perl -e … list` before the probe messages are sent, and as `perl -e … sweep TOKEN LISTED` after
# them. `list` prints what exists: size, access time, modification time and name of each mailbox, and the index files of
# each Maildir. `sweep` removes every message that contains TOKEN, including bounces, from Postfix's queue and the
# mailboxes, together with the files that were created only for it.
# Perl, because the machines have no Python.
use strict;
use warnings;
use File::Glob qw(:bsd_glob);    # a blank does not end a name

my ($mode, $token, $listed) = @ARGV;
my @mboxes = grep { -f } glob('/var/mail/*');
my @maildirs = grep { -d "$_/new" } map { glob } '/root/*', '/home/*/*', '/var/mail/*/*';

if ($mode eq 'list') {
    for my $path (@mboxes, @maildirs, map { glob("$_/dovecot*") } @maildirs) {
        my ($size, $read, $written) = (stat $path)[7, 8, 9];
        print "$size $read $written $path\n";
    }
    exit;
}

my %before = map { my ($size, $read, $written, $path) = split / /, $_, 4; ($path => [$size, $read, $written]) } split /\n/, $listed;

sub content {
    my ($path) = @_;
    open my $file, '<:raw', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}

# Queue files contain the message as it is, and their name is the queue id.
my $queues = '/var/spool/postfix/{maildrop,hold,incoming,active,deferred/?}/*';
if (my @queued = grep { -f && content($_) =~ /\Q$token/ } glob($queues)) {
    open my $postsuper, '|-', 'postsuper', '-d', '-' or die "postsuper: $!";
    print $postsuper s{.*/}{}r, "\n" for @queued;
    close $postsuper;
}

for my $mbox (grep { content($_) =~ /\Q$token/ } @mboxes) {
    require Fcntl;    # here, as loading it takes longer than the rest
    # The dot lock is the one that both Postfix and the mail command use (local(8), mailbox_delivery_lock).
    my $lock = "$mbox.lock";
    my $tries = 100;
    select undef, undef, undef, 0.05 until sysopen(my $held, $lock, Fcntl::O_WRONLY() | Fcntl::O_CREAT() | Fcntl::O_EXCL()) or !--$tries;
    next unless $tries;
    my $kept = join '', grep { !/\Q$token/ } split /(?<=\n\n)(?=From )/, content($mbox);
    my $was = $before{$mbox};
    if ($kept eq '' && !$was) {
        unlink $mbox;
    } else {
        open my $file, '+<:raw', $mbox or die "$mbox: $!";
        print $file $kept;
        truncate $file, length $kept;
        close $file;
        utime @$was[1, 2], $mbox if $was && $was->[0] == length $kept;
    }
    unlink $lock;
}

for my $maildir (@maildirs) {
    unlink grep { content($_) =~ /\Q$token/ } map { glob("$maildir/$_/*") } qw(new cur tmp);
    if ($before{$maildir}) {
        unlink grep { !$before{$_} } glob("$maildir/dovecot*");
    } elsif (!map { glob("$maildir/$_") } qw(new/* cur/* tmp/* .[!.]*)) {
        require File::Path;
        File::Path::remove_tree($maildir);
    }
}
