module keyturn/renewal

go 1.19
