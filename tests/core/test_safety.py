"""What is told and what is not: read the two lists first."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
import threading
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytales.errors import TinytalesError, UsageError
from tinytales.prompt import StoryPrompt
from tinytales.safety import LEVELS, Safety, fold, forms, readings, rules
from tinytales.safety_measure import measure_file

#: Told to no child. Written for this test, one for each way to go wrong.
UNKIND = """
The man pulled out a gun and pointed it at the teller.
He shot the policeman.
She loaded the rifle and went hunting for the neighbor.
The soldiers dropped bombs on the village.
He hid a dagger under his coat.
Tom brought a knife to school and threatened his teacher with a knife.
They made dynamite in the shed.
The wolf was shot dead.
He swung the axe into her chest.
The hunter killed the bear.
The robber stabbed the old man.
She strangled the cat.
The pirates murdered the captain.
He cut off her head with the sword.
They chopped his fingers off.
Blood was pouring from his mouth.
The floor was covered in blood.
They beat him to death.
The big boys beat him up behind the school.
He punched her in the face.
They buried him alive.
The children starved to death.
They found a dead body in the lake.
The baby died in the fire.
He drowned the puppies in a bucket.
She pushed her brother off the roof.
He broke the bird's legs and wrung its neck.
He set the cat on fire.
The witch cooked the children alive.
He kicked the dog until it cried.
The boy pulled the wings off the fly.
They threw stones at the old dog.
She locked him in the dark cellar for three days.
He tied the girl to a tree and left.
I hate you and I never want to see you again.
I wish you were dead.
He drank a whole bottle of whiskey.
Dad was drunk again.
She smoked a cigarette behind the shed.
They smoked weed in the car.
The man sold drugs to the children.
He was high on pills.
She opened another beer.
Grandpa drank too much rum.
They had sex in the barn.
She took off her clothes and was naked.
He touched her private parts.
They made love all night.
You are an idiot.
You stupid girl, get out!
Shut up, you fat cow!
What the hell are you doing?
Go away, you little shit.
He called her a bitch.
You are so ugly that nobody likes you.
She wanted to kill herself.
He cut himself on purpose because he was sad.
I want to die, said the boy.
She hanged herself.
I wish I was never born, she thought, and I hate my life.
The kids played with matches in the hay.
He drank the bleach under the sink.
She stuck a fork into the socket.
He swallowed a battery.
She put the plastic bag over her head.
He got into the stranger's car.
My phone number is 555-1234.
My address is 12 Elm Street.
Go to www.badsite.com now.
Write to me at tom@mail.com.
The kidnapper took the child.
They tortured the prisoner.
The terrorists took hostages.
He burned down the school.
The monster ripped his arm off.
The lion tore off his leg.
The bad man choked the girl.
She poisoned her husband.
They whipped the slaves.
She vomited blood everywhere.
The zombie ate his brains and guts spilled out.
The giant crushed his skull.
A bullet hit the soldier.
He blew up the school.
They went to war and many soldiers were slaughtered.
He beat his son with a belt.
The cannibals boiled him alive.
He jumped off the bridge to die.
The girl was raped.
He took her nude photos.
She was a prostitute.
She slit her wrists.
Nobody loves you, said the girl.
He poked out his eyes.
He stuck his finger in the socket.
He aimed the arrow at the boy.
He pushed the old woman down the stairs.
She ate a handful of pills.
He hid in the old fridge and closed the door.
He crawled into the dryer.
She took all the pills.
The man with the gunshot wound groaned.
The boy took his father's gun to the park.
They shot at the birds with a rifle.
She shot him in the leg.
The sniper waited.
A grenade rolled into the room.
He drew his pistol.
Kill the king, she whispered.
The knight killed the dragon with his sword.
The farmer slaughtered the pig.
The hunter shot the deer.
The wolf ate the girl and her guts spilled on the floor.
He snapped her neck.
They hanged the thief.
The dragon burned the villagers alive.
He smashed the rat with a hammer.
The bully beat up the little boy.
They beat the donkey with a stick.
The cat was skinned.
He bled to death.
She suffocated the baby with a pillow.
They tied her hands and kidnapped her.
The tiger bit off his hand.
There was a corpse behind the door.
His dad hit him every night with a belt.
The teacher whipped the boy.
Mom died in a car crash.
Her little brother died.
The puppy was run over by a truck.
They buried the cat alive.
I will kill you.
He wanted to die.
She took an overdose.
The wizard drank wine until he was drunk.
He smoked a pipe of tobacco.
They bought cocaine.
He put drugs in her juice.
The girl vaped.
The man showed the child his penis.
She felt horny.
Come, take off your clothes for me.
The prince raped her.
They kissed passionately on the neck.
You dumb idiot.
Fuck you.
This is bullshit.
You are a loser.
Damn it!
The retarded boy.
She is a fat pig, you fat pig.
You are worthless.
Everyone hates you.
He lit the curtains on fire.
He lit the match and set fire to the barn.
Let's play with knives.
He played in the traffic.
They taught him how to make a bomb.
She drank poison.
Eat the poison, said the queen.
He went away with a stranger.
Tell me your address.
What is your phone number?
My password is fox123.
Call me at (212) 555-0188.
Visit https://example.org
The prisoners were executed.
He was stoned to death.
She scratched out his eyes.
The soldiers massacred everyone.
They sold the slaves.
He tortured the frog.
He poked the dog with a stick until it bled.
They locked her in the oven.
The sword went through his heart.
He threw the kitten off the bridge.
She threw the baby out of the window.
His brains were spilled.
The bloody knife lay there.
He choked her.
The Nazis came.
They called him the n word, nigger.
The boy hurt himself on purpose.
She stopped eating because she was anorexic.
She cut her wrists.
The sheriff reached for his revolver.
A bomb went off in the market.
She fired the gun three times.
He loaded bullets into the pistol.
The king ordered them to behead the prisoner.
The boy was murdered in the woods.
She killed the spider's whole family for fun.
The knight slew the giant.
He sliced his brother's ear off.
The dog's leg was cut off by the train.
Blood dripped from the knife.
They stabbed the guard in the back.
The mob beat the old man until he stopped moving.
He pushed the girl off the cliff.
The little boy drowned in the pool.
The giant bit off his head.
The witch boiled the frog alive.
They set the house on fire.
The angry man punched the clown in the nose.
She choked him with a rope.
The bad boys threw rocks at the cat.
He kicked the puppy.
He tied his sister to a chair and left her there.
She locked the child in a closet all night.
I wish you were dead, she shouted.
The men got drunk at the tavern.
Father poured himself a glass of whiskey.
He lit a cigarette.
The teenagers were smoking weed.
She swallowed a handful of pills.
The uncle gave the boy beer.
They took drugs at the party.
The woman danced naked.
He tried to touch her private parts.
They were having sex.
You are such a loser.
What a stupid boy you are!
Shut up and sit down.
You ugly pig!
He said a bad word: shit.
Go to hell, said the man.
She wanted to die.
He thought about suicide.
He tried to hang himself.
She cut her arms with a razor.
The boys were playing with a lighter.
She drank the bleach.
He stuck a key into the socket.
They hid in the freezer.
The girl went home with a stranger.
He got into the man's van for candy.
My phone number is 0171 5550 1234.
I live at 12 Park Street.
Send me a picture at bob@example.com.
The soldiers burned the village and killed everyone.
They hanged the witch.
The bomber flew over the city.
The cat ripped the mouse's guts out.
He smashed the bird's head with a stone.
The pirates made him walk the plank and sharks tore him apart.
""".strip().split("\n")

#: Told to every child, though a word in it may sound wrong.
KIND = """
The knight rode his white horse over the bridge.
He was dying to see the present.
She shot the ball into the goal.
They sang songs to kill time.
Grandma cut the cake into eight pieces.
Tom hit the drum with both hands.
A dead leaf sailed down the stream.
The fire truck was red and shiny.
"I'm dying of hunger," laughed the bear.
The wind died down in the evening.
The old dog died in his sleep, and they planted a tree for him.
She had a scratch, and a drop of blood came out.
He skinned his knee on the path.
The shot was small, and the doctor gave her a sticker.
Green shoots came out of the ground.
He took a good shot with his camera.
They beat the eggs until they were fluffy.
The rabbit beat the turtle in the race.
The bear hugged him with his big arms.
Her feet were killing her after the long walk.
We have to kill the weeds in the garden.
The killer whale jumped out of the water.
He blew up the red balloon.
The candle burned down to the end.
She threw the ball to him and he caught it.
They threw stones into the pond.
The cook chopped the carrots.
He bit the head off the gingerbread man.
The squirt gun was full of water.
She put a bath bomb into the tub.
The bullet train was very fast.
Their secret weapon was a pie.
She hated carrots, but she loved peas.
They did not want to hurt the little bird.
"I don't hate you," she said.
He had drunk all his milk.
The drum went rum, tum, tum.
The clock went bong, bong.
Brandy the dog wagged her tail.
They drank ginger ale and apple cider.
The branches were naked in winter.
The naked mole rat dug a tunnel.
The baby hippo has no clothes.
The robin had a red breast.
Dick Whittington had a cat.
The cock crowed at dawn.
Pussy cat, pussy cat, where have you been?
The ugly duckling became a swan.
"That is a stupid game," said Leo.
He felt a little stupid, but everybody laughed with him.
The shop was shut up for the night.
The hedgehog could prick you, so be gentle.
A chink of light came through the door.
She hurt her finger and Mom kissed it.
Never play with matches, said the firefighter.
Playing with fire is dangerous.
You should not go with a stranger.
She hid in the closet and giggled.
My favorite number is seven.
There were 1,000,000 stars and 12 moons.
It was 7:30 on Monday.
The class went from 2019 to 2024.
The assistant passed the grass in the class.
Essex, Sussex and Scunthorpe are places.
The therapist shared a grape with the skunk.
He analyzed the canal and the cucumber.
The shuttlecock flew over the net.
She was a pig in the school play.
You little monkey, come here!
The hot air balloon got high above the trees.
He drew a circle with a compass.
The dwarf swung his hammer and fixed the chair.
The arrow pointed to the left.
The pirates fought with pillows.
The monster was shy and lonely.
The witch baked a cake for the children.
A ghost said boo and they all laughed.
The wolf huffed and puffed and blew the house down.
The fox tried to catch the hen, but she flew away.
The sun set the sky on fire with red and gold.
The rope broke and he fell into the hay.
Mom took off his wet socks.
They kissed their mother good night.
He is my best friend and I love him.
They went to the doctor to take medicine.
The cat sat in the box, and the box was shut.
The cannon shot confetti over the crowd.
The spider hung by a thread.
She hung the picture on the wall.
The lights hung from the tree.
The tailor cut the thread off.
The tree lost an arm in the storm.
Execute the plan, said the captain.
He was a hit at the party.
I am so mad I could burst, said the frog.
The cowboy rode into the sunset.
Mom chopped the onions and cried.
The knife cut the bread easily.
The archer hit the target with his arrow.
He shot up from his chair.
The rocket shot into the sky.
She was shooting hoops with her dad.
The bees were buzzing like mad.
The old oak tree died, and a new one grew.
My phone battery is dead.
The bug played dead.
The baby bit his spoon.
He broke his arm when he fell off the swing.
The doctor looked at the cut and put on a bandage.
A tear dropped on her dress.
He burned his tongue on the soup.
The sausages burned.
The toast was burned black.
He hit his head on the shelf.
The ball hit the window.
The drummer beat the drum.
Our team beat the other team.
She whipped the cream.
He kicked the ball to the girl.
The donkey kicked up its legs.
The grapes grew on the vine, and they made juice.
He smoked the fish over the fire.
Smoke came out of the chimney.
The dragon smoked from his nose.
She got a high score.
They flew high above the clouds.
Take your medicine, said the nurse.
The pill bug rolled into a ball.
She took a bath with her ducks.
The emperor had no clothes on.
The little boy ran around in his underpants.
The mother bird sat on her nest.
The two swans fell in love.
He kissed the frog, and it became a prince.
The donkey was called a silly ass.
That was a dumb idea, he laughed.
I hate mud, said the princess.
The weather was horrible.
The fool danced for the king.
She was fat and happy, the cat.
The crow was black and shiny.
He lost his shoe in the mud and cried.
She hid under the bed during the storm.
Do not touch the stove, it is hot!
The stranger smiled and gave back the hat.
He lives on Park Street with his grandma.
My number in the race was 12.
The year was 1850, and the train had 300 wagons.
The soldier nutcracker stood on the shelf.
The wolf ate all the porridge.
The spider caught a fly in its web.
The shark showed all of its teeth and grinned.
The cat chased the mouse around the house.
""".strip().split("\n")

#: The same words, hidden by accident or on purpose. Nobody types these into a story by chance.
MASKED = (
    "g u n",
    "a g u n",
    "he took a g.u.n",
    "gu\u200bn",
    "guuuuun",
    "GUN",
    "ＧＵＮ",
    "gün",
    "𝗴𝘂𝗻",
    "ⓖⓤⓝ",
    "g\u00adun",
    "gυn",
    "k1ll the cat",
    "ki11 the cat",
    "k!ll",
    "kіll",
    "k*ll",
    "k-i-l-l",
    "k_i_l_l",
    "p1st0l",
    "b0mb",
    "$tab",
    "@ssh0le",
    "sh1t",
    "$h!t",
    "f*ck",
    "f u c k",
    "fuuuck you",
    "5tup1d",
    "b33r",
    "c0ca1ne",
    "s e x",
    "s3x",
    "p.o.r.n",
    "www.xyz.com",
)

#: Odd, and fine.
PLAIN = (
    "I a m a boy",
    "A B C D E F G",
    "a b c, 1 2 3",
    "U.S.A.",
    "He is 7 and she is 5!",
    "Sooooo big!",
    "Heeeey, looook!",
    "R2D2 and C3PO",
    "well-known ice-cream",
    "Once up-on a time",
    "1st, 2nd, 3rd",
    "5 little ducks",
    "e.g. a dog",
    "* * *",
    "🙂🙂🙂",
    "مرحبا بالعالم",
    "Привет, мир",
    "こんにちは",
    "Zoë's café",
    "It cost $5.",
    "@home",
)


@pytest.mark.parametrize("text", UNKIND)
def test_unkind_sentences_are_found(text: str) -> None:
    finding = Safety().check(text)
    assert finding is not None
    assert finding.word == text[finding.start : finding.end]
    assert finding.reason


@pytest.mark.parametrize("text", KIND)
def test_kind_sentences_are_told(text: str) -> None:
    assert Safety().check(text) is None
    assert Safety().check_prompt(StoryPrompt(opening=text)) is None


@pytest.mark.parametrize("typed", MASKED)
def test_masked_words_are_read(typed: str) -> None:
    finding = Safety().check_prompt(StoryPrompt(opening=typed))
    assert finding is not None
    assert finding.word


@pytest.mark.parametrize("typed", PLAIN)
def test_odd_typing_is_not_an_offense(typed: str) -> None:
    assert Safety().check_prompt(StoryPrompt(opening=typed)) is None


def test_every_part_of_a_prompt_is_read() -> None:
    for prompt in (
        StoryPrompt(words=("kite", "gun")),
        StoryPrompt(sentence="He took the gun."),
        StoryPrompt(summary="A story about a gun."),
        StoryPrompt(opening="One day\nthe gun"),
    ):
        finding = Safety().check_prompt(prompt)
        assert finding is not None
        assert (finding.word, finding.reason) == ("gun", "weapons")


def test_a_finding_says_where() -> None:
    finding = Safety().check("The fox took a gun and a pistol.")
    assert finding is not None
    assert (finding.word, finding.start, finding.end) == ("gun", 15, 18)


def test_places_are_those_of_the_text_as_it_was_given() -> None:
    text = "Zoë’s “ﬁne” café… a g\u200bun!"
    finding = Safety().check(text)
    assert finding is not None
    assert text[finding.start : finding.end] == "g\u200bun"


def test_levels_grow_stricter() -> None:
    gun, ghost = "He had a gun.", "The ghost screamed in terror."
    assert Safety("off").check(gun) is None
    assert Safety("off").check_prompt(StoryPrompt(opening=gun)) is None
    assert Safety("gentle").check(gun)
    assert Safety("gentle").check(ghost) is None
    assert Safety("careful").check(ghost)
    assert all(Safety("careful").check(text) for text in UNKIND)
    assert Safety().level == "gentle"


@pytest.mark.parametrize("level", ["gentel", "", "GENTLE", None, 3])
def test_an_unknown_level_names_the_nearest(level: object) -> None:
    with pytest.raises(UsageError) as caught:
        Safety(level)  # type: ignore[arg-type]
    assert "gentle" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["", " ", "\n", "\x00", "a" * 200_000, "gun" * 9, "no " * 50_000, "g " * 20_000]
)
def test_empty_and_huge_texts(text: str) -> None:
    assert Safety().check(text) is None


def test_a_huge_prompt_is_answered() -> None:
    prompt = StoryPrompt(opening="a b c d " * 12_500 + "gun")
    assert Safety().check_prompt(prompt) is not None


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80))
def test_any_text_is_read_and_places_are_inside(text: str) -> None:
    for folded, origin in readings(text):
        assert not origin or len(origin) == len(folded)
    for level in LEVELS:
        finding = Safety(level).check(text)
        assert finding is None or 0 <= finding.start < finding.end <= len(text)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["gun", "kill", "stab", "beer", "naked"]),
    st.text(alphabet=" .,!?\n", min_size=1, max_size=3),
    st.text(max_size=20),
)
def test_a_word_is_found_whatever_stands_around_it(word: str, gap: str, around: str) -> None:
    quiet = "".join(c for c in around if not c.isalnum() and c.isprintable())
    assert Safety().check(f"one{quiet}{gap}{word}{gap}{quiet}two") is not None


def test_look_alikes_fold_to_the_letter_they_look_like() -> None:
    for alike, letter in zip("аеорсхуіј", "aeopcxyij", strict=True):
        assert fold(alike)[0] == letter
    for alike, letter in zip("ΑΒΕΗΙΚΜΝΟΡΤΧαενορυ", "abehikmnoptxaevopu", strict=True):
        assert fold(alike)[0] == letter, alike


def test_forms_follow_the_rules_of_spelling() -> None:
    assert forms("stab") == ["stab", "stabs", "stabbed", "stabbing"]
    assert forms("strangle") == ["strangle", "strangles", "strangled", "strangling"]
    assert forms("punch") == ["punch", "punches", "punched", "punching"]
    assert forms("bury")[:3] == ["bury", "buries", "buried"]
    assert "shot" in forms("shoot")


def test_every_rule_is_well_formed_and_every_pattern_can_be_found() -> None:
    from tinytales.safety import RuleBook

    data = rules()
    for rule in data["rule"]:
        assert set(rule) <= {"reason", "level", "words", "phrases", "fine"}
        assert rule["level"] in LEVELS
        for word in rule.get("words", "").split():
            assert Safety(rule["level"]).check(word) is not None, word
    book = RuleBook(data["rule"], data["sets"])
    for patterns in book._by_word.values():
        for pattern in patterns:
            assert book._compiled(pattern.line)


def test_stories_that_come_with_the_package_are_told() -> None:
    """The originals were written to be kind: at most one in two hundred may be stopped wrongly."""
    path = resources.files("tinytales.assets").joinpath("originals.jsonl.xz")
    with path.open("rb") as raw, lzma.open(raw, "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    safety = Safety()
    found = [finding.word for text in texts[::6] if (finding := safety.check(text))]
    assert len(found) <= len(texts[::6]) / 200, found


def test_findings_in_a_file_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "stories.jsonl"
    lines = ["The fox ran. It had a gun. It had a gun.", "All was well."]
    path.write_text("\n\n".join(json.dumps({"text": line}) for line in lines))
    assert measure_file(str(path), "gentle") == {
        "level": "gentle",
        "stories": 2,
        "with_findings": 1,
        "found": {"weapons: gun": 2},
    }
    path.write_text('{"text": "well"}\n{"story": 1}\n')
    with pytest.raises(TinytalesError, match="line 2"):
        measure_file(str(path), "gentle")


def test_threads_share_the_rules() -> None:
    wrong: list[str] = []

    def read() -> None:
        safety = Safety("careful")
        wrong.extend(text for text in UNKIND if safety.check(text) is None)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_importing_it_reads_nothing_heavy() -> None:
    code = (
        "import sys, tinytales.safety as s; s.Safety();"
        "print({'numpy', 'tomllib', 'tokenizers', 'hypothesis'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
