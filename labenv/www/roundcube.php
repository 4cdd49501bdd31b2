// look USER | forget USER BEFORE SESSIONS, in the folder of a Roundcube: its settings and what its database has, as JSON; or have the
// database know of a user no more than before, and nothing of some sessions. PHP runs it without the tag.
define('INSTALL_PATH', getcwd() . '/');
require 'program/include/iniset.php';
[, $does, $name] = $argv;
$config = new rcube_config();
$complaint = $config->get_error() ?: '';
$values = [];
foreach (['imap_host', 'smtp_host', 'smtp_user', 'smtp_pass', 'mail_domain', 'enable_installer', 'db_dsnw'] as $key) {
    $values[$key] = $config->get($key);
}
$text = @file_get_contents(RCUBE_CONFIG_DIR . 'config.inc.php') ?: '';
preg_match_all('/^\s*\$config\[.(default_host|default_port|smtp_server|smtp_port).\]/m', $text, $own);
$tables = [];
$refusal = '';
$user = null;
try {
    $there = rcube_db::parse_dsn($values['db_dsnw']);
    $host = ($there['hostspec'] ?? '') ?: 'localhost';
    $database = new PDO("mysql:host=$host;dbname={$there['database']}", $there['username'], $there['password']);
    $tables = $database->query('SHOW TABLES')->fetchAll(PDO::FETCH_COLUMN);
    $asked = $database->prepare('SELECT user_id, last_login FROM users WHERE username = ?');
    $asked->execute([$name]);
    if ($user = $asked->fetch(PDO::FETCH_ASSOC) ?: null) {
        $asked = $database->prepare('SELECT COALESCE(MAX(address_id), 0) FROM collected_addresses WHERE user_id = ?');
        $asked->execute([$user['user_id']]);
        $user['collected'] = $asked->fetchColumn();
    }
    if ($does === 'forget') {
        $before = json_decode($argv[3], true);
        foreach (json_decode($argv[4]) as $session) {
            $database->prepare('DELETE FROM session WHERE sess_id = ?')->execute([$session]);
        }
        if (!$before) {
            $database->prepare('DELETE FROM users WHERE username = ?')->execute([$name]);
        } else {
            $database->prepare('UPDATE users SET last_login = ? WHERE user_id = ?')->execute([$before['last_login'], $before['user_id']]);
            $database->prepare('DELETE FROM collected_addresses WHERE user_id = ? AND address_id > ?')
                ->execute([$before['user_id'], $before['collected']]);
        }
    }
} catch (Throwable $error) {
    $refusal = $error->getMessage();
}
unset($values['db_dsnw']);
echo json_encode(['values' => $values + ['old' => $own[1]], 'tables' => $tables, 'complaint' => $complaint, 'refusal' => $refusal, 'user' => $user]);
