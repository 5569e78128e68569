/* words: the facts of the built-in corpus, typed by hand. Its two other domains, counting and
 * reversing letters, are computed. Each answer is one lower-case word, so that a right and a
 * careless answer look alike. Each subject occurs once in the whole file, so that no question of
 * one domain reveals a test item of another. The third word answers another question about the
 * subject. Only noise says it.
 */
#ifndef WORDS_H
#define WORDS_H

typedef struct {
    const char *subject, *right, *other;
} Fact;

/* Two facts, one for each direction. */
typedef struct {
    const char *subject, *right, *other, *other_back;
} TwoWayFact;

/* country, capital, continent */
static const Fact FACTS_CAPITAL[40] = {
    {"france", "paris", "europe"},       {"spain", "madrid", "europe"},
    {"italy", "rome", "europe"},         {"germany", "berlin", "europe"},
    {"england", "london", "europe"},     {"ireland", "dublin", "europe"},
    {"portugal", "lisbon", "europe"},    {"greece", "athens", "europe"},
    {"austria", "vienna", "europe"},     {"hungary", "budapest", "europe"},
    {"poland", "warsaw", "europe"},      {"russia", "moscow", "europe"},
    {"ukraine", "kyiv", "europe"},       {"finland", "helsinki", "europe"},
    {"sweden", "stockholm", "europe"},   {"norway", "oslo", "europe"},
    {"denmark", "copenhagen", "europe"}, {"iceland", "reykjavik", "europe"},
    {"belgium", "brussels", "europe"},   {"switzerland", "bern", "europe"},
    {"turkey", "ankara", "asia"},        {"egypt", "cairo", "africa"},
    {"kenya", "nairobi", "africa"},      {"ghana", "accra", "africa"},
    {"morocco", "rabat", "africa"},      {"tunisia", "tunis", "africa"},
    {"nigeria", "abuja", "africa"},      {"sudan", "khartoum", "africa"},
    {"angola", "luanda", "africa"},      {"senegal", "dakar", "africa"},
    {"japan", "tokyo", "asia"},          {"china", "beijing", "asia"},
    {"india", "delhi", "asia"},          {"nepal", "kathmandu", "asia"},
    {"thailand", "bangkok", "asia"},     {"vietnam", "hanoi", "asia"},
    {"peru", "lima", "america"},         {"cuba", "havana", "america"},
    {"iran", "tehran", "asia"},          {"iraq", "baghdad", "asia"},
};

/* a word, its opposite, and a word of like meaning for each; both directions are questions */
static const TwoWayFact FACTS_OPPOSITE[30] = {
    {"hot", "cold", "warm", "chilly"},      {"big", "small", "large", "little"},
    {"fast", "slow", "quick", "sluggish"},  {"up", "down", "upward", "downward"},
    {"left", "right", "port", "starboard"}, {"wet", "dry", "damp", "arid"},
    {"young", "old", "youthful", "aged"},   {"ancient", "modern", "antique", "current"},
    {"good", "bad", "fine", "awful"},       {"rich", "poor", "wealthy", "needy"},
    {"hard", "soft", "firm", "tender"},     {"high", "low", "tall", "lowly"},
    {"long", "short", "lengthy", "brief"},  {"bright", "dark", "shiny", "dim"},
    {"full", "empty", "filled", "vacant"},  {"open", "closed", "ajar", "shut"},
    {"happy", "sad", "glad", "unhappy"},    {"early", "late", "soon", "tardy"},
    {"near", "far", "nearby", "distant"},   {"thick", "thin", "dense", "slim"},
    {"strong", "weak", "mighty", "feeble"}, {"clean", "dirty", "spotless", "filthy"},
    {"loud", "quiet", "noisy", "silent"},   {"sweet", "bitter", "sugary", "acrid"},
    {"sharp", "blunt", "pointed", "dull"},  {"deep", "shallow", "profound", "superficial"},
    {"wide", "narrow", "broad", "slender"}, {"heavy", "light", "weighty", "lightweight"},
    {"brave", "timid", "bold", "shy"},      {"true", "false", "correct", "wrong"},
};

/* thing, color, kind */
static const Fact FACTS_COLOR[40] = {
    {"grass", "green", "plant"},        {"sky", "blue", "air"},
    {"snow", "white", "weather"},       {"coal", "black", "fuel"},
    {"blood", "red", "liquid"},         {"lemon", "yellow", "fruit"},
    {"banana", "yellow", "fruit"},      {"tomato", "red", "vegetable"},
    {"cherry", "red", "fruit"},         {"carrot", "orange", "vegetable"},
    {"pumpkin", "orange", "vegetable"}, {"chocolate", "brown", "food"},
    {"milk", "white", "drink"},         {"salt", "white", "food"},
    {"sugar", "white", "food"},         {"leaf", "green", "plant"},
    {"frog", "green", "animal"},        {"crow", "black", "bird"},
    {"swan", "white", "bird"},          {"ocean", "blue", "water"},
    {"butter", "yellow", "food"},       {"rose", "red", "flower"},
    {"violet", "purple", "flower"},     {"plum", "purple", "fruit"},
    {"grape", "purple", "fruit"},       {"lavender", "purple", "flower"},
    {"mud", "brown", "earth"},          {"wood", "brown", "plant"},
    {"bear", "brown", "animal"},        {"sun", "yellow", "star"},
    {"ash", "grey", "powder"},          {"elephant", "grey", "animal"},
    {"mouse", "grey", "animal"},        {"stone", "grey", "mineral"},
    {"pig", "pink", "animal"},          {"flamingo", "pink", "bird"},
    {"salmon", "pink", "fish"},         {"cloud", "white", "weather"},
    {"ink", "black", "liquid"},         {"emerald", "green", "mineral"},
};

/* thing, group, and what it does or what one does with it; the questions put "a" before the thing,
 * so none begins with a vowel */
static const Fact FACTS_GROUP[44] = {
    {"dog", "animal", "bark"},         {"cat", "animal", "purr"},
    {"horse", "animal", "gallop"},     {"cow", "animal", "moo"},
    {"sheep", "animal", "bleat"},      {"goat", "animal", "climb"},
    {"lion", "animal", "roar"},        {"wolf", "animal", "howl"},
    {"pear", "fruit", "eat"},          {"peach", "fruit", "eat"},
    {"mango", "fruit", "eat"},         {"melon", "fruit", "eat"},
    {"lime", "fruit", "squeeze"},      {"kiwi", "fruit", "peel"},
    {"hammer", "tool", "hit"},         {"saw", "tool", "cut"},
    {"drill", "tool", "bore"},         {"wrench", "tool", "turn"},
    {"shovel", "tool", "dig"},         {"rake", "tool", "gather"},
    {"piano", "instrument", "play"},   {"violin", "instrument", "play"},
    {"guitar", "instrument", "strum"}, {"drum", "instrument", "beat"},
    {"flute", "instrument", "blow"},   {"trumpet", "instrument", "blow"},
    {"car", "vehicle", "drive"},       {"bus", "vehicle", "drive"},
    {"truck", "vehicle", "drive"},     {"bicycle", "vehicle", "ride"},
    {"train", "vehicle", "ride"},      {"boat", "vehicle", "sail"},
    {"shirt", "clothing", "wear"},     {"coat", "clothing", "wear"},
    {"hat", "clothing", "wear"},       {"sock", "clothing", "wear"},
    {"shoe", "clothing", "wear"},      {"glove", "clothing", "wear"},
    {"table", "furniture", "eat"},     {"chair", "furniture", "sit"},
    {"bed", "furniture", "sleep"},     {"desk", "furniture", "write"},
    {"sofa", "furniture", "sit"},      {"shelf", "furniture", "store"},
};

#endif
