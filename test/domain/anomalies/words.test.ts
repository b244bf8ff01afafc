import t from 'tap';

t.test('what Intl needs is loaded for the first finding, and once', async (t) => {
  let made = 0;
  class Names extends Intl.DisplayNames {
    constructor(...args: ConstructorParameters<typeof Intl.DisplayNames>) {
      super(...args);
      made++;
    }
  }
  class Numbers extends Intl.NumberFormat {
    constructor(...args: ConstructorParameters<typeof Intl.NumberFormat>) {
      super(...args);
      made++;
    }
  }
  t.intercept(Intl, 'DisplayNames', { value: Names });
  t.intercept(Intl, 'NumberFormat', { value: Numbers });

  const { countryName, rounded } = await import('../../../src/domain/anomalies/words.js');
  t.equal(made, 0);
  t.strictSame([countryName('DE'), countryName('FR')], ['Germany', 'France']);
  t.strictSame([rounded(1234), rounded(0.567)], ['1,200', '0.57']);
  t.equal(made, 2);
});

t.test('a country that is no code is told as the database has it', async (t) => {
  const { countryName } = await import('../../../src/domain/anomalies/words.js');
  t.strictSame([countryName('Atlantis'), countryName('QQ')], ['Atlantis', 'QQ']);
});
