# Runs in a machine: as `perl -e … list` before the probe messages are sent, and as `perl -e … sweep TOKEN LISTED ALONE` after
# them. `list` prints what exists: size, access time, modification time and name of each mailbox, and the index files of
# each Maildir. `sweep` removes every message that contains TOKEN, including bounces, from Postfix's queue and the
# mailboxes, together with the files that were created only for it. With ALONE, no other run goes on, and it removes as well
# what runs have left that were killed: messages with such a message id of their own.
# Perl, because the machines have no Python.
use strict;
use warnings;
use File::Glob qw(:bsd_glob);    # a blank does not end a name

my ($mode, $token, $listed, $alone) = @ARGV;
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

sub is_ours {
    my ($text, $header) = @_;
    return $text =~ /\Q$token/ || $alone && $header =~ /Message-ID: <labenv-check-[0-9a-f]{12}\./;
}

sub is_our_mail { my ($mail) = @_; return is_ours($mail, $mail =~ s/\r?\n\r?\n.*//sr) }

sub content {
    my ($path) = @_;
    open my $file, '<:raw', $path or return '';
    local $/;
    return scalar(<$file>) // '';
}

sub mails { my ($mbox) = @_; return split /(?<=\n\n)(?=From )/, content($mbox) }

# Queue files contain the message as it is, and their name is the queue id.
my $queues = '/var/spool/postfix/{maildrop,hold,incoming,active,deferred/?}/*';
if (my @queued = grep { -f && is_ours((content($_)) x 2) } glob($queues)) {
    open my $postsuper, '|-', 'postsuper', '-d', '-' or die "postsuper: $!";
    print $postsuper s{.*/}{}r, "\n" for @queued;
    close $postsuper;
}

for my $mbox (grep { content($_) =~ /labenv-check-/ && grep { is_our_mail($_) } mails($_) } @mboxes) {
    require Fcntl;    # here, as loading it takes longer than the rest
    # The dot lock is the one that both Postfix and the mail command use (local(8), mailbox_delivery_lock).
    my $lock = "$mbox.lock";
    my $tries = 100;
    select undef, undef, undef, 0.05 until sysopen(my $held, $lock, Fcntl::O_WRONLY() | Fcntl::O_CREAT() | Fcntl::O_EXCL()) or !--$tries;
    next unless $tries;
    my $kept = join '', grep { !is_our_mail($_) } mails($mbox);
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
    unlink grep { is_our_mail(content($_)) } map { glob("$maildir/$_/*") } qw(new cur tmp);
    if ($before{$maildir}) {
        unlink grep { !$before{$_} } glob("$maildir/dovecot*");
    } elsif (!map { glob("$maildir/$_") } qw(new/* cur/* tmp/* .[!.]*)) {
        require File::Path;
        File::Path::remove_tree($maildir);
    }
}
